"""``POST /v1/run``: a whole program, its cases, and what each of them gave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, SerializeAsAny, model_validator

from execbox.wire import html_view
from execbox.wire.content import Content
from execbox.wire.execute import ExecutionError, Truncated, Usage
from execbox.wire.fields import CALLS_MAX, Request, Response, Text
from execbox.wire.functions import Limits
from execbox.wire.vocabularies import (
    Isolation,
    Language,
    Profile,
    ProgramStatus,
    ProgramVerdict,
    StdoutComparator,
)

__all__ = [
    "FILES_MAX",
    "PROGRAM_NAME",
    "PROGRAM_NAMES",
    "Case",
    "Compilation",
    "ExpectedStdout",
    "FetchedFile",
    "FileLeftOut",
    "FilePath",
    "Files",
    "Program",
    "ProgramLimits",
    "ProgramRun",
    "RunRequest",
    "RunResponse",
    "folders_of",
]

PROGRAM_NAME = "program.py"
"""The source's own file in the working directory; no given file can have its name."""
PROGRAM_NAMES: Final[Mapping[Language, str]] = {
    "python": PROGRAM_NAME,
    "bash": "program.sh",
    "cpp": "program.cpp",
}
"""The same by language; program.py is no given file's name in any."""
FILES_MAX = 1000
"""Most files that a case can be given, and that can be fetched of it."""
_PATH_BYTES_MAX = 1024
_NAME_BYTES_MAX = 255
"""Of a file in Linux."""
_GLOBS_MAX = 20
_ARGUMENTS_MAX = 1000


def _names(path: str) -> list[str]:
    if "\x00" in path:
        raise ValueError("must not contain NUL characters (U+0000)")
    if path.startswith("/"):
        raise ValueError(f"{path!r:.100} is absolute; name it relative to the working directory")
    names = path.split("/")
    if not all(names):
        raise ValueError(f"{path!r:.100} has an empty name in it; write it as folder/name")
    if "." in names or ".." in names:
        raise ValueError(f"{path!r:.100} has . or .. in it; files stay in the working directory")
    return names


def _path(path: str) -> str:
    names = _names(path)
    size_bytes = len(path.encode("utf-8", "surrogatepass"))
    if size_bytes > _PATH_BYTES_MAX:
        raise ValueError(f"is {size_bytes} bytes long; {_PATH_BYTES_MAX} is the most")
    longest = max(len(name.encode("utf-8", "surrogatepass")) for name in names)
    if longest > _NAME_BYTES_MAX:
        raise ValueError(f"has a name of {longest} bytes; {_NAME_BYTES_MAX} is the most in Linux")
    return path


def _beside_source(path: str) -> str:
    if path == PROGRAM_NAME:
        raise ValueError(f"{PROGRAM_NAME} is reserved: it is the program's own source")
    return path


def _glob(glob: str) -> str:
    _names(glob)
    return glob


def _argument(argument: str) -> str:
    if "\x00" in argument:
        raise ValueError("must not contain NUL characters (U+0000), which no argument can carry")
    return argument


FilePath = Annotated[str, Field(min_length=1, max_length=_PATH_BYTES_MAX), AfterValidator(_path)]
ProgramFilePath = Annotated[FilePath, AfterValidator(_beside_source)]
Files: TypeAlias = Annotated[dict[ProgramFilePath, Content], Field(max_length=FILES_MAX)]
Glob = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_glob)]
Arguments = Annotated[
    list[Annotated[str, AfterValidator(_argument)]], Field(max_length=_ARGUMENTS_MAX)
]


class ExpectedStdout(Request):
    """What a program has to print. Compared in the service: no program ever sees it."""

    stdout: str
    comparator: StdoutComparator = "exact"


class Program(Request):
    """A whole program, run as the main module; what its cases leave out is theirs, too."""

    code: Text = Field(description="The source. Python 3.11, unless language says otherwise.")
    language: Language = "python"
    arguments: Arguments = Field(
        default_factory=list, description="What follows the program's name (in sys.argv, argv, $@)."
    )
    stdin: Content | None = Field(default=None, description="null is an empty stdin.")
    files: Files = Field(
        default_factory=dict, description="By path, relative to the working directory."
    )
    fetch: Annotated[list[Glob], Field(max_length=_GLOBS_MAX)] = Field(
        default_factory=list,
        description="Which files are sent back: * matches within a name, ** across folders.",
    )


class Case(Request):
    """One run of the program. What is left out is the program's; files are added to its files."""

    stdin: Content | None = None
    arguments: Arguments | None = None
    files: Files | None = None
    expected: ExpectedStdout | None = None


class ProgramLimits(Limits):
    """What one run of a program may use."""

    files_bytes: Annotated[int, Field(ge=0, le=16 * 1024 * 1024)] = Field(
        default=16 * 1024 * 1024,
        description="Bytes of all files that one case is given, and of all that are fetched.",
    )
    compile_time_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=10.0,
        description="CPU seconds of the compiler, where the language has one; twice as many of "
        "elapsed time.",
    )


class RunRequest(Request):
    """Body of ``POST /v1/run``: one program, and the cases to run it on."""

    program: Program
    cases: Annotated[list[Case], Field(min_length=1, max_length=CALLS_MAX)] | None = Field(
        default=None, description="Left out, the program is run once, as it is given."
    )
    expected: ExpectedStdout | None = Field(
        default=None, description="Of every case that does not say its own."
    )
    stop_at_first_failure: bool = Field(
        default=False,
        description="true leaves the cases after the first that did not end ok, or printed "
        "something else than expected, not_run.",
    )
    limits: ProgramLimits = ProgramLimits()
    isolation: Isolation = "container"
    profile: Profile = "default"

    @model_validator(mode="after")
    def _files_can_be_written(self) -> Self:
        own_name = PROGRAM_NAMES[self.program.language]
        own = self.program.files
        own_folders = folders_of(own)
        _check_tree(own, {}, own_name=own_name, folders=own_folders, of="program.files")
        for index, case in enumerate(self.cases or ()):
            if case.files:
                count = len(own) + sum(path not in own for path in case.files)
                if count > FILES_MAX:
                    raise ValueError(
                        f"cases[{index}].files: {count} files with the program's own, and "
                        f"{FILES_MAX} are the most"
                    )
                # Those of the program are not looked at once more for each of its cases.
                folders = folders_of(case.files, known=own_folders)
                folders |= own_folders & case.files.keys()
                _check_tree(
                    case.files, own, own_name=own_name, folders=folders, of=f"cases[{index}].files"
                )
        return self


def folders_of(paths: Iterable[str], *, known: Set[str] = frozenset()) -> set[str]:
    """The folders that files at these paths are in, and these are in, but for known ones."""
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found and folder not in known:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _check_tree(
    files: Mapping[str, object],
    beside: Mapping[str, object],
    *,
    own_name: str,
    folders: Set[str],
    of: str,
) -> None:
    """Raises ValueError where a path is the program's own, or one of ``folders`` is a file, too."""
    if own_name in files:
        raise ValueError(f"{of}: {own_name} is reserved: it is the program's own source")
    is_both = [each for each in folders if each in files or each in beside or each == own_name]
    if is_both:
        folder = min(is_both)
        path = next(path for path in (*files, *beside) if path.startswith(f"{folder}/"))
        raise ValueError(f"{of}: {folder!r:.100} is a file, and a folder of {path!r:.100}")


class FetchedFile(Response):
    """A file as the program left it."""

    base64: str
    size_bytes: int


class FileLeftOut(Response):
    """A file that was asked for and is not sent."""

    path: str = Field(description="Empty where the reason is about several.")
    reason: str


class ProgramRun(Response):
    """What one case gave."""

    status: ProgramStatus
    exit_code: int | None = Field(default=None, description="Null where a signal ended it.")
    signal: str | None = Field(
        default=None,
        description="Name such as SIGSEGV, if one ended it; of a bash program also the signal that "
        "its exit code, 128 and a number, stands for.",
    )
    limit: Literal["cpu_time", "wall_time"] | None = Field(
        default=None, description="With timeout: which limit was reached."
    )
    stdout: str = Field(default="", description="Bytes that are no UTF-8 are shown as U+FFFD.")
    stderr: str = ""
    stdout_base64: str | None = Field(
        default=None, description="The bytes themselves, where stdout is not UTF-8."
    )
    truncated: Truncated = Truncated()
    files: dict[str, FetchedFile] = Field(default_factory=dict)
    files_left_out: list[FileLeftOut] = Field(default_factory=list)
    error: ExecutionError | None = Field(
        default=None,
        description="What a Python program raised and did not catch; the traceback is on stderr. "
        "With compile_error: what the compiler said, or which limit it reached.",
    )
    verdict: ProgramVerdict | None = Field(
        default=None,
        description="Null without expected. Where the program did not end ok, its status.",
    )
    usage: Usage | None = Field(default=None, description="Null for not_run.")

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return html_view.program_run_html(self)


class Compilation(Response):
    """What the compiler said, and what it took: once for all cases."""

    stderr: str = Field(description="Warnings and errors; its first 64 KiB.")
    truncated: bool = False
    usage: Usage | None = Field(default=None, description="Null where it was never started.")


class RunResponse(Response):
    """Answer of ``POST /v1/run``: one run per case, in the order of the cases."""

    runs: list[SerializeAsAny[ProgramRun]]
    compilation: Compilation | None = Field(
        default=None, description="Null where the language has no compiler."
    )
    isolation: Isolation
    engine: str
    image: str = Field(description="Id of the sandbox image, which docker run accepts.")
    queue_time_s: float = Field(description="Waiting for a free slot, before the first run.")

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return html_view.run_html(self)
