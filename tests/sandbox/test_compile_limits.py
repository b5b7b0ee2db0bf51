"""Sources made to keep a compiler busy: each gets a verdict within limits, with its reason."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.languages import Languages

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="session")]

LONG_TIME_S = 5.0
TEMPLATES = """\
template <int A, int B> struct Tree {
    static const int n = Tree<A - 1, B * 2>::n + Tree<A - 1, B * 2 + 1>::n;
};
template <int B> struct Tree<0, B> { static const int n = B; };
int main() { return Tree<30, 1>::n; }
"""
NESTED_LOOPS = """\
constexpr int loop() {
    int n = 0;
    for (int i = 0; i < 200000; i++) for (int j = 0; j < 200000; j++) n ^= j;
    return n;
}
constexpr int value = loop();
int main() { return value; }
"""
MACROS = """\
#define A(x) x x x x x x x x x x x x x x x x
#define B(x) A(A(A(A(A(A(A(A(x))))))))
B(int;)
"""


@pytest.mark.parametrize(
    ("code", "limits", "kind", "says"),
    [
        (TEMPLATES, {"compile_time_s": 0.3}, "CompileTimeout", "limits.compile_time_s"),
        (NESTED_LOOPS, {"compile_time_s": 0.3}, "CompileTimeout", "limits.compile_time_s"),
        ('#include "/dev/zero"', {}, "CompileMemoryExceeded", "more than 512 MiB"),
        (MACROS, {}, "CompileMemoryExceeded", "limits.memory_mb"),
        ('#include "program.cpp"', {}, "CompileError", "#include nested depth"),
        ("char a[1 << 30] = {1}; int main() {}", {}, "CompileError", "File too large"),
        ("char a[20 << 20] = {1}; int main() {}", {}, "CompiledTooLarge", "16777216 bytes"),
        ('asm(".incbin \\"/dev/zero\\"");', {}, "CompileError", "unable to include"),
        ('#include "/dev/fd/1"', {}, "CompileError", "Permission denied"),
        ('#include "/proc/1/environ"', {}, "CompileError", "Permission denied"),
        ("int f();", {}, "CompileError", "undefined reference to `main'"),
        ("", {}, "CompileError", "undefined reference to `main'"),
    ],
)
async def test_source_that_a_compiler_cannot_take_is_a_compile_error(
    languages: Languages, code: str, limits: dict[str, Any], kind: str, says: str
) -> None:
    """With the reason, soon; the service is as good as before it."""
    response = await languages.response("cpp", code, limits=limits)
    (run,) = response.runs
    assert run.status == "compile_error", run
    assert run.error is not None
    assert run.error.type == kind, run.error
    assert says in run.error.message
    assert response.compilation is not None
    assert response.compilation.usage is not None
    assert response.compilation.usage.cpu_time_s < LONG_TIME_S
    assert (await languages.one("bash", "echo well")).stdout == "well\n"


async def test_compilers_flood_of_messages_is_cut(languages: Languages) -> None:
    """Three megabytes of warnings: the program runs, and the first 64 KiB are told."""
    warnings = "\n".join(f"#warning {'x' * 1000}" for _ in range(1000))
    response = await languages.response(
        "cpp", '#include "w.h"\nint main() {}', files={"w.h": warnings}
    )
    assert response.runs[0].status == "ok"
    assert response.compilation is not None
    assert response.compilation.truncated
    assert len(response.compilation.stderr.encode()) <= 65536


async def test_compiler_has_memory_of_its_own_beside_a_programs_small_limit(
    languages: Languages,
) -> None:
    """A program of 16 MiB could not be compiled in so little; it is run in it all the same."""
    code = "#include <algorithm>\n#include <map>\nint main(int n, char **) { %s return 0; }\n"
    fits = await languages.one("cpp", code % "", limits={"memory_mb": 16})
    assert fits.status == "ok", fits
    fills = "volatile char *p = new char[1 << 28]; for (int i = 0; i < 1 << 28; i += 512) p[i] = n;"
    does_not = await languages.one("cpp", code % fills, limits={"memory_mb": 16})
    assert does_not.status == "memory_exceeded", does_not
