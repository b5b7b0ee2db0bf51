"""The closed vocabularies of the API: words that mean something, and what each means.

Statuses, verdicts, reasons and the choices a request has; the codes of errors are in
``error_codes``, and the messages that carry these words in the modules beside this one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, TypeAlias

__all__ = [
    "WIRE_HEADER",
    "WIRE_VERSION",
    "Comparator",
    "Conversion",
    "Extraction",
    "Isolation",
    "Language",
    "OutputFlag",
    "Prelude",
    "Profile",
    "ProgramStatus",
    "ProgramVerdict",
    "RejectReason",
    "Status",
    "StdoutComparator",
    "Stopped",
    "Verdict",
]

WIRE_VERSION: Final = 1
"""Of the requests and responses, which every answer carries in the header ``WIRE_HEADER``.

What is only added does not change it: a client ignores fields that it does not know. A field that
goes, or means something different, adds one, and for one release both are understood.
"""
WIRE_HEADER: Final = "Execbox-Wire-Version"
Isolation: TypeAlias = Literal["container", "process"]
"""``container``: a fresh container for this job. ``process``: one shared by one API key's jobs."""
Profile: TypeAlias = Literal["default", "processes"]
"""``default``: one process, no exec, no socket. ``processes``: fork and exec, if permitted."""
OutputFlag: TypeAlias = Literal["non_finite", "mutates_input"]
"""``non_finite``: has NaN or infinities. ``mutates_input``: the call changed its arguments."""
Conversion: TypeAlias = Literal["none", "codeio"]
"""How values that are no JSON become JSON. ``none``: not at all, they are ``unserializable``."""
Prelude: TypeAlias = Literal["none", "codeio"]
"""Which names are bound before the source runs. ``codeio``: those LeetCode-style code takes for
granted."""
Comparator: TypeAlias = Literal["codeio", "exact", "tolerance"]
"""When two outputs are the same. ``codeio``: the paper's rule, equal JSON text or numbers within
0.1 % with the same integer part. ``exact``: equal JSON values. ``tolerance``: within bounds."""
StdoutComparator: TypeAlias = Literal["exact", "trimmed", "tokens", "numbers"]
"""When a program printed what was expected. ``exact``: the same characters. ``trimmed``: but for
white space at the ends of lines and of the whole. ``tokens``: the same words. ``numbers``: the same
words, where a number with a point or an exponent may be off by 1e-6, absolute or relative."""
Language: TypeAlias = Literal["python", "bash", "cpp"]
"""What a program is written in. ``bash`` and ``cpp`` (C++17) need an image that has them, and are
run in profile ``processes``."""
Extraction: TypeAlias = Literal["tolerant", "strict"]
"""How an answer is taken out of a text. ``tolerant``: whatever unambiguously says it is the answer,
the last one. ``strict``: by the rule of CodeI/O's scripts, for results to compare with theirs."""
Stopped: TypeAlias = Literal["count", "attempts", "given_up", "job_time", "invalid_code"]
"""Why generating ended. ``count``: enough pairs. ``attempts``: no draws left. ``given_up``: too
many draws in a row without a pair. ``job_time``: no time left. ``invalid_code``: bad source."""


class Status(StrEnum):
    """How one execution ended: always about the code, never about the service.

    Where several apply, the first of this order wins: ``memory_exceeded``, ``timeout``,
    ``output_too_large`` as the supervisor counted it, ``no_result``, then what the job reported.
    """

    OK = "ok"
    """It returned a value that is strict JSON within ``output_bytes``."""
    EXCEPTION = "exception"
    """It raised. SystemExit, KeyboardInterrupt and an uncaught MemoryError included."""
    TIMEOUT = "timeout"
    """It used up ``cpu_time_s``, or ``wall_time_s`` not counting time spent waiting for a core."""
    MEMORY_EXCEEDED = "memory_exceeded"
    """The kernel's OOM killer ended it."""
    OUTPUT_TOO_LARGE = "output_too_large"
    """The JSON text of the returned value is longer than ``output_bytes``."""
    UNSERIALIZABLE = "unserializable"
    """The returned value has no strict JSON form."""
    NO_RESULT = "no_result"
    """The process ended by itself without reporting: a crash, ``os._exit``, a signal."""
    INVALID_CODE = "invalid_code"
    """The source or the expression does not compile, or defines no such callable entry point."""
    NOT_RUN = "not_run"
    """The job's time (``job_time_s``) was over before this call's turn. No verdict."""


class Verdict(StrEnum):
    """What a prediction was worth: or the status of an execution that is not ok."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NO_ANSWER = "no_answer"
    """No answer could be extracted from the response."""
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    MEMORY_EXCEEDED = "memory_exceeded"
    OUTPUT_TOO_LARGE = "output_too_large"
    UNSERIALIZABLE = "unserializable"
    NO_RESULT = "no_result"
    INVALID_CODE = "invalid_code"
    NOT_RUN = "not_run"


class ProgramStatus(StrEnum):
    """How one run of a program ended: always about the program, never about the service.

    Where several apply, the first of this order wins: ``memory_exceeded``, ``timeout``,
    ``output_too_large``, ``no_result``, ``invalid_code``, ``exit_nonzero``. With
    ``compile_error`` the program never began.
    """

    OK = "ok"
    """It ended with exit code 0."""
    EXIT_NONZERO = "exit_nonzero"
    """It ended with a different exit code: 1 after an exception that was not caught."""
    TIMEOUT = "timeout"
    """It used up ``cpu_time_s``, or ``wall_time_s`` not counting time spent waiting for a core."""
    MEMORY_EXCEEDED = "memory_exceeded"
    """The kernel's OOM killer ended it."""
    OUTPUT_TOO_LARGE = "output_too_large"
    """As a verdict: it printed more than ``stdout_bytes``, so what it printed cannot be compared.
    As a status: it flooded the descriptor on which its end is reported."""
    NO_RESULT = "no_result"
    """A signal ended it that the service did not send: a crash, or a kill of its own."""
    INVALID_CODE = "invalid_code"
    """The source is no Python; Python's own message is on stderr, the exit code is 1."""
    COMPILE_ERROR = "compile_error"
    """Of a language with a compiler: it refused the source, or reached a limit of its own."""
    NOT_RUN = "not_run"
    """Its turn never came: ``job_time_s`` was over, or an earlier case failed. No verdict."""


class ProgramVerdict(StrEnum):
    """Whether a program printed what was expected: or the status of a run that is not ok."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    EXIT_NONZERO = "exit_nonzero"
    TIMEOUT = "timeout"
    MEMORY_EXCEEDED = "memory_exceeded"
    OUTPUT_TOO_LARGE = "output_too_large"
    NO_RESULT = "no_result"
    INVALID_CODE = "invalid_code"
    COMPILE_ERROR = "compile_error"
    NOT_RUN = "not_run"


class RejectReason(StrEnum):
    """Why a draw of ``POST /v1/generate`` gave no pair; counted in its ``rejected``.

    The first that applies, in the order of a draw's life: drawing the input, running the function
    on it, checking what it gave. ``generator_*`` is the status of the draw's own execution.
    """

    GENERATOR_EXCEPTION = "generator_exception"
    GENERATOR_TIMEOUT = "generator_timeout"
    GENERATOR_MEMORY_EXCEEDED = "generator_memory_exceeded"
    GENERATOR_NO_RESULT = "generator_no_result"
    GENERATOR_INVALID_CODE = "generator_invalid_code"
    INVALID_INPUT = "invalid_input"
    """The generator returned something else than a JSON object within ``output_bytes``."""
    INPUT_COMPLEXITY = "input_complexity"
    """The input breaks the object-size rule."""
    DUPLICATE_INPUT = "duplicate_input"
    """An earlier draw gave the same input."""
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    MEMORY_EXCEEDED = "memory_exceeded"
    OUTPUT_TOO_LARGE = "output_too_large"
    UNSERIALIZABLE = "unserializable"
    NO_RESULT = "no_result"
    INVALID_CODE = "invalid_code"
    NON_FINITE = "non_finite"
    """The output has NaN or infinities."""
    NONE_OUTPUT = "none_output"
    """The function returned None."""
    OUTPUT_COMPLEXITY = "output_complexity"
    """The output breaks the object-size rule."""
    NON_DETERMINISTIC = "non_deterministic"
    """The output did not hold under variation."""
    NOT_RUN = "not_run"
    """The job's time was over before this draw was checked to the end."""
