"""A program as a job: its source, and the payloads that a job process reads. Runs nothing.

The payloads' keys are the contract with ``execbox_runner/program.py`` and ``started_program.py``.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping

from execbox.wire import (
    PROGRAM_NAMES,
    Base64Content,
    Case,
    Content,
    Program,
    RunRequest,
    content_bytes,
)
from execbox_service.engines.container_spec import EXTRA_MEMORY_MB
from execbox_service.json_steps import LARGE_BYTES, ascii_text
from execbox_service.operations.package_guess import guess_packages
from execbox_service.sandboxes.driver import Attempt, Fetch, Job, SourceFile, call_payload

__all__ = [
    "attempt_of",
    "content_length",
    "is_large_case",
    "payload_of",
    "program_job",
    "size_bytes_of",
]


def program_job(request: RunRequest, *, available: frozenset[str]) -> Job:
    """The job that the cases of a program are attempts of, as long as nothing is compiled."""
    program = request.program
    packages: tuple[str, ...] = ()
    if program.language == "python":
        packages = guess_packages([program.code], available=available, prelude="none")
    large = any(name.split(".")[0] in available for name in packages)
    fetch = None
    if program.fetch:
        fetch = Fetch(tuple(program.fetch), bytes_max=request.limits.files_bytes)
    return Job(
        function_payload=payload_of(request),
        packages=packages,
        profile=request.profile,
        limits=request.limits,
        isolation=request.isolation,
        extra_memory_mb=EXTRA_MEMORY_MB if large and request.isolation == "process" else 0,
        source=SourceFile(PROGRAM_NAMES[program.language], program.code.encode()),
        fetch=fetch,
    )


def payload_of(request: RunRequest, **more: object) -> bytes:
    """What all runs of a program have alike."""
    program = request.program
    payload = {"files": _encoded_files(program.files), "arguments": program.arguments, **more}
    if program.language != "python":
        payload["language"] = program.language
    return ascii_text({"program": payload})


def attempt_of(case: Case, *, stdin: bytes | None) -> Attempt:
    """``stdin`` is the program's. What the case leaves out is not repeated for it: the runner takes
    it from the program."""
    call: dict[str, object] = {"files": _encoded_files(case.files)}
    if case.arguments is not None:
        call["arguments"] = case.arguments
    own_stdin = stdin if case.stdin is None else content_bytes(case.stdin)
    return Attempt(call_payload(call), stdin=own_stdin)


def size_bytes_of(program: Program) -> int:
    """Roughly, of what there is to write of a program."""
    files_length = sum(map(content_length, program.files.values()))
    return len(program.code) + files_length + sum(map(len, program.arguments))


def is_large_case(case: Case) -> bool:
    """Whether making an attempt of it takes so long that it is done beside the event loop."""
    arguments_length = sum(map(len, case.arguments or ()))
    return bool(case.files) or content_length(case.stdin) + arguments_length >= LARGE_BYTES


def content_length(content: Content | None) -> int:
    """Characters of what is given, base64 as it is sent."""
    if content is None:
        return 0
    return len(content if isinstance(content, str) else content.base64)


def _encoded_files(files: Mapping[str, Content] | None) -> dict[str, str]:
    return {path: _base64(content) for path, content in (files or {}).items()}


def _base64(content: Content) -> str:
    if isinstance(content, Base64Content):
        return content.base64
    return b2a_base64(content.encode(), newline=False).decode()
