"""Programs in C++, on real containers: compiled once, run as any other, and nothing kept."""

from __future__ import annotations

import asyncio
import base64
import contextlib

import docker
import pytest
from harness.bench import Bench, eventually
from harness.docker_daemon import docker_client

from tests.sandbox.languages import QUICK, Languages, started_languages

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

DOUBLE = """\
#include <cstdio>
int main() { int n; if (scanf("%d", &n) != 1) return 9; printf("%d\\n", 2 * n); }
"""


@pytest.mark.parametrize("level", ["container", "process"])
async def test_cpp_program_gets_stdin_arguments_and_files(languages: Languages, level: str) -> None:
    """Files are there when it is compiled, too; those that it leaves come back."""
    code = """\
#include <fstream>
#include <iostream>
#include "lib/twice.h"
int main(int count, char **arguments) {
    int n; std::string data;
    std::cin >> n; std::ifstream("data") >> data;
    std::cout << twice(n) << ' ' << count << ' ' << arguments[2] << ' ' << data << std::endl;
    std::ofstream("out") << "made"; std::cerr << "said";
}
"""
    files = {"lib/twice.h": "inline int twice(int n) { return 2 * n; }", "data": "given"}
    response = await languages.response(
        "cpp", code, stdin="4", arguments=["x", "y z"], files=files, fetch=["*"], isolation=level
    )
    (run,) = response.runs
    assert (run.status, run.exit_code, run.error) == ("ok", 0, None), run
    assert (run.stdout, run.stderr) == ("8 3 y z given\n", "said")
    assert sorted(run.files) == ["data", "out"]
    assert base64.b64decode(run.files["out"].base64) == b"made"
    assert response.compilation is not None
    assert response.compilation.usage is not None
    assert run.usage is not None
    assert run.usage.cpu_time_s < response.compilation.usage.cpu_time_s


async def test_cpp_program_is_compiled_once_for_fifty_cases(languages: Languages) -> None:
    """One execution more than there are cases, and a verdict for each."""
    before_count = languages.executions_count()
    cases = [{"stdin": str(n), "expected": {"stdout": f"{2 * n}\n"}} for n in range(50)]
    cases[-1]["expected"] = {"stdout": "x"}
    found = await languages.runs("cpp", DOUBLE, cases=cases)
    assert [run.verdict for run in found] == ["correct"] * 49 + ["incorrect"]
    assert languages.executions_count() - before_count == 51


@pytest.mark.parametrize("stops", [False, True])
async def test_cpp_program_that_does_not_compile_is_told_for_every_case(
    languages: Languages, *, stops: bool
) -> None:
    """The compiler's text is on stderr and in ``error``, with the line; nothing was run."""
    before_count = languages.executions_count()
    found = await languages.runs(
        "cpp",
        'int main() {\n  int x = "a";\n}\n',
        cases=[{"expected": {"stdout": ""}}] * 3,
        stop_at_first_failure=stops,
    )
    assert languages.executions_count() - before_count == 1
    first = found[0]
    assert (first.status, first.exit_code, first.verdict) == ("compile_error", 1, "compile_error")
    assert "program.cpp:2:11: error: invalid conversion" in first.stderr
    assert first.error is not None
    assert (first.error.type, first.error.line) == ("CompileError", 2)
    assert "invalid conversion" in first.error.message
    rest = {run.status for run in found[1:]}
    assert rest == ({"not_run"} if stops else {"compile_error"})


async def test_cpp_warnings_are_told_and_keep_nothing_from_running(languages: Languages) -> None:
    """Apart from what the program itself writes to stderr."""
    response = await languages.response("cpp", "#warning look\nint main() {}\n")
    assert response.runs[0].status == "ok"
    assert response.runs[0].stderr == ""
    assert response.compilation is not None
    assert "#warning look" in response.compilation.stderr


@pytest.mark.parametrize(
    ("body", "status", "exit_code", "ended_by"),
    [
        ("return 3;", "exit_nonzero", 3, None),
        ("return 139;", "exit_nonzero", 139, None),
        ("*(volatile int *)0 = 1;", "no_result", None, "SIGSEGV"),
        ("abort();", "no_result", None, "SIGABRT"),
        ("volatile int zero = 0; return 7 / zero;", "no_result", None, "SIGFPE"),
        ("for (;;) { volatile int busy = 1; }", "timeout", None, "cpu_time"),
        ("sleep(60);", "timeout", None, "wall_time"),
        ("if (!fork()) for (;;) { volatile int busy = 1; } wait(0);", "timeout", None, "cpu_time"),
        ("fill();", "memory_exceeded", None, "SIGKILL"),
        ("if (!fork()) fill(); wait(0);", "memory_exceeded", 0, None),
    ],
)
async def test_cpp_program_ends_as_programs_do(
    languages: Languages, body: str, status: str, exit_code: int | None, ended_by: str | None
) -> None:
    """The statuses are those of Python, and what it starts counts as its own."""
    code = (
        "#include <stdlib.h>\n#include <string.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
        "void fill() { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }\n"
        f"int main() {{ {body} }}\n"
    )
    limits = QUICK | {"cpu_time_s": 0.5, "wall_time_s": 0.5 if ended_by == "wall_time" else 20}
    run = await languages.one("cpp", code, limits=limits)
    assert (run.status, run.exit_code) == (status, exit_code), run
    assert (run.limit or run.signal) == ended_by


async def test_cpp_program_whose_output_is_cut_says_so(languages: Languages) -> None:
    """Two megabytes of it."""
    code = "#include <unistd.h>\nchar a[2000000];\nint main() { write(1, a, sizeof a); }\n"
    run = await languages.one("cpp", code, expected={"stdout": ""})
    assert (run.status, run.truncated.stdout) == ("ok", True), run
    assert (len(run.stdout), run.verdict) == (65536, "output_too_large")


async def test_cpp_cases_find_nothing_of_those_before_them(languages: Languages) -> None:
    """Files, processes, and the program itself: each case tries to change what the next one is."""
    code = r"""
#include <cstdio>
#include <cstring>
#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main() {
    const char *places[] = {"/dev/shm", "/tmp"};
    for (const char *place : places) {
        chdir(place);
        DIR *folder = opendir(".");
        while (dirent *entry = readdir(folder))
            if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) puts(entry->d_name);
        closedir(folder);
        close(open("left", O_CREAT | O_WRONLY, 0600));
    }
    const char *own = "/proc/self/exe";
    int fd = open(own, O_RDONLY);
    if (open(own, O_WRONLY) < 0) perror("open");
    if (ftruncate(fd, 0) < 0) perror("ftruncate");
    if (fchmod(fd, 0) < 0) perror("fchmod");
    void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    printf("%d, and open are", page == MAP_FAILED);
    for (int other = 0; other < 64; other++) if (fcntl(other, F_GETFD) >= 0) printf(" %d", other);
    puts("");
    fflush(stdout);
    if (fork() == 0) { setsid(); if (fork() == 0) sleep(100); }
}
"""
    found = await languages.runs("cpp", code, cases=[{} for _ in range(3)])
    refused = "open: Text file busy\nftruncate: Invalid argument\nfchmod: Operation not permitted\n"
    assert [run.stderr for run in found] == [refused] * 3, found
    assert [run.stdout for run in found] == ["1, and open are 0 1 2 3\n"] * 3, found


async def test_cpp_cases_go_on_in_a_new_container_without_compiling_again(
    languages_image: str,
) -> None:
    """Where one is lost: the program that was compiled in it is not lost with it."""
    code = '#include <unistd.h>\n#include <cstdio>\nint main() { usleep(300000); puts("ended"); }\n'
    async with started_languages(languages_image) as languages:
        bench = languages.bench
        request = languages.runs("cpp", code, cases=[{} for _ in range(6)], isolation="container")
        running = asyncio.create_task(request)
        seen: list[str] = []

        def one_runs() -> bool:
            seen.extend(_running(bench))
            return bool(seen)

        await eventually(one_runs)
        with docker_client() as client:
            client.remove_container(seen[0], force=True)
        found = await running
        assert [(run.status, run.stdout) for run in found] == [("ok", "ended\n")] * 6
        assert languages.executions_count() == 7


def _running(bench: Bench) -> list[str]:
    """The containers in which a case runs now."""
    found = []
    with docker_client() as client:
        for each in bench.containers():
            # One that is being made or removed has no processes to tell of.
            with contextlib.suppress(docker.errors.APIError):
                if "./program" in str(client.top(each["Id"])):
                    found.append(each["Id"])
    return found
