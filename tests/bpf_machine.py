"""An interpreter of the few classic BPF instructions that system-call filters of ours may use."""

from __future__ import annotations

import struct

ALLOW, KILL, DENY = 0x7FFF0000, 0x80000000, 0x00050000
"""What a filter answers; to DENY the error number is added."""


def run(program: bytes, *, number: int, architecture: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel would do with one call: classic BPF over ``struct seccomp_data``."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, value = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x15:
                at += if_true if accumulator == value else if_false
            case 0x35:
                at += if_true if accumulator >= value else if_false
            case 0x45:
                at += if_true if accumulator & value else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"an instruction no filter of ours has: {code:#x}")
