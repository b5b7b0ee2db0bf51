"""Large JSON in steps of milliseconds: reading, writing, freeing, and telling what is large.

The same values and the same refusals as ``strict_json``, which is quicker and is for small texts.
From what size on, and in which thread, is decided elsewhere.

Python's own decoder and encoder do a whole document in one call, and the interpreter serves no
other thread meanwhile: 16 MiB of ``[[],[],...`` kept the event loop waiting for 0.5 s (measured).
Here they get windows of the text, and slices of the values, that take them a millisecond or two.
"""

from execbox_service.json_steps.freeing import free_in_steps
from execbox_service.json_steps.reading import (
    LARGE_BYTES,
    MEMBERS_MAX,
    decode_any,
    decode_in_steps,
)
from execbox_service.json_steps.sizes import LIGHT_MAX, is_light, light_left, read_bytes_max
from execbox_service.json_steps.writing import (
    ascii_text,
    encode_in_steps,
    small_ascii_text,
    text_head,
)

__all__ = [
    "LARGE_BYTES",
    "LIGHT_MAX",
    "MEMBERS_MAX",
    "ascii_text",
    "decode_any",
    "decode_in_steps",
    "encode_in_steps",
    "free_in_steps",
    "is_light",
    "light_left",
    "read_bytes_max",
    "small_ascii_text",
    "text_head",
]
