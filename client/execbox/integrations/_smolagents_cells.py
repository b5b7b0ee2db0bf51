"""The cells of our own that an ``ExecboxExecutor`` runs in its session; pure text, nothing is sent.

They run beside the model's code, which can undo them: none of them protects anything.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["ANSWER_NAME", "ANSWER_TYPE", "imports_cell", "tools_cell", "variables_cell"]

ANSWER_NAME = "__execbox_final_answer__"
"""The variable that a final answer is left in."""
ANSWER_TYPE = "ExecboxFinalAnswer"
"""What is raised when there is one, so that nothing after it runs."""

# smolagents' local executor has these words; its agent looks for them.
_IMPORTS = """
def __execbox_allow(allowed):
    import builtins
    true_import, main = builtins.__import__, globals()
    def is_allowed(name):
        parts = name.split(".")
        for each in allowed:
            heads = each.split(".")
            if heads[-1] == "*" and parts[: len(heads) - 1] == heads[:-1]:
                return True
            if parts == heads[: len(parts)]:
                return True
        return False
    def importing(name, globals=None, locals=None, fromlist=(), level=0):
        if globals is main and not is_allowed(name):
            raise ImportError(
                f"Import of {name} is not allowed. Authorized imports are: {sorted(allowed)}"
            )
        return true_import(name, globals, locals, fromlist, level)
    builtins.__import__ = importing
"""
_TOOLS = """
def __execbox_define(code, names):
    # Without an import: those may be refused here.
    module = type(__builtins__)("agent_tools")
    exec(compile(code, "<tools>", "exec"), module.__dict__)
    main = globals()
    class {answer_type}(BaseException):
        pass
    def receiving(answer):
        def forward(*arguments, **named):
            main["{answer_name}"] = answer(*arguments, **named)
            raise {answer_type}("the final answer")
        return forward
    for name in names:
        main[name] = module.__dict__[name]
        if name == "final_answer":
            main[name].forward = receiving(main[name].forward)
"""
_VARIABLES = """
def __execbox_set(reader, text):
    names = {}
    exec(reader, names)
    globals().update(names["_deserialize"](text))
"""


def imports_cell(authorized: Sequence[str]) -> str:
    """Refuses imports in cells of what is not authorized; nothing is refused for ``"*"``."""
    if "*" in authorized:
        return ""
    from smolagents.utils import BASE_BUILTIN_MODULES

    allowed = {*authorized, *BASE_BUILTIN_MODULES}
    return f"{_IMPORTS}\n__execbox_allow({sorted(allowed)!r})\ndel __execbox_allow\n"


def tools_cell(code: str, *, names: Sequence[str]) -> str:
    """Defines tools, in a module of their own, whose imports are theirs."""
    define = _TOOLS.format(answer_type=ANSWER_TYPE, answer_name=ANSWER_NAME)
    return f"{define}\n__execbox_define({code!r}, {list(names)!r})\ndel __execbox_define\n"


def variables_cell(text: str, *, reader: str) -> str:
    """Sets what ``text`` holds, in the format that ``reader`` defines ``_deserialize`` for."""
    return f"{_VARIABLES}\n__execbox_set({reader!r}, {text!r})\ndel __execbox_set\n"
