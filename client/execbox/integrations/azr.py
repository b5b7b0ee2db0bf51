"""Absolute Zero Reasoner: its ``PythonExecutor`` with the same methods, run by the service.

Values go in and out as text, ``repr`` of a result and the text between a call's brackets, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from execbox import wire
from execbox.client import Client
from execbox.errors import ExecboxError, RequestError, ServiceError, TransportError
from execbox.integrations import _azr_words as words
from execbox.integrations._blame import is_about_the_code
from execbox.integrations._literals import NoLiteral, literal, same_value, stays_within_brackets

__all__ = ["OutcomeUnknown", "PythonExecutor"]

_DONE = "Done"
_CPU_TIME_MAX_S, _WALL_TIME_MAX_S = 60.0, 120.0


class OutcomeUnknown(ExecboxError):
    """What the code does was not found out, for a reason that is not the code's."""


class PythonExecutor:
    """What Absolute Zero's trainer and reward manager call, with functions run by execbox.

    >>> from execbox.integrations.azr import PythonExecutor
    >>> executor = PythonExecutor(timeout_length=5, ast_check=True, max_workers=8)
    >>> executor.run_code("def f(a, b):\\n    return {a: b}", "1, b='x'")
    ("{1: 'x'}", 'Done')
    >>> executor.check_all("def f(a):\\n    return str(set(a))", "['ab', 'cd', 'ef']")
    (False, '')
    >>> executor.eval_input_prediction("def f(a):\\n    return a * 2", "4", "2")
    1.0
    >>> executor.eval_output_prediction("def f(a):\\n    return a * 2", "4", "5")
    0.0
    >>> executor.cleanup()

    Where it is unknown, because the service failed: ``eval_input_prediction`` and
    ``eval_output_prediction`` return None, which its callers leave out or count (``none_count``);
    everything else raises ``ExecboxError``, which says nothing about the code. A caller's mistake,
    such as a wrong key, is raised by all.

    ``timeout_length`` is seconds of CPU time; twice as many may elapse. ``ast_check`` and
    ``runtime`` are taken and not needed: what does not compile is found where it is run, and each
    execution has a process of its own. ``output_chars_max`` cuts results in their middle as there
    (400 characters, which makes no value of a longer result); None cuts nothing.
    """

    def __init__(
        self,
        runtime: object = None,
        *,
        timeout_length: float = 10,
        ast_check: bool = False,
        max_workers: int = 1,
        client: Client | None = None,
        isolation: wire.Isolation = "container",
        output_chars_max: int | None = 400,
    ) -> None:
        del runtime, ast_check
        self._own_client = client is None
        self._client = Client() if client is None else client
        self._isolation: wire.Isolation = isolation
        self._workers = max_workers
        self._output_chars_max = output_chars_max
        self._limits = wire.Limits(
            cpu_time_s=min(float(timeout_length), _CPU_TIME_MAX_S),
            wall_time_s=min(2 * float(timeout_length), _WALL_TIME_MAX_S),
        )

    def run_code(self, code: str, inputs: str, imports: Sequence[str] = ()) -> tuple[str, str]:
        """``repr(f(inputs))`` and ``Done``, or an empty text and what went wrong."""
        return self._told(self._one(_whole(code, imports), _repr_of(_call_of(inputs))))

    def validate_code(self, code: str, inputs: str, imports: Sequence[str] = ()) -> bool:
        """Whether ``f(inputs)`` returns. There, an exception whose name has no ``Error`` in it
        counts as returning; here it does not."""
        return self.run_code(code, inputs, imports)[1] == _DONE

    def eval_input_prediction(
        self, code: str, gold_output: str, agent_input: str, imports: Sequence[str] = ()
    ) -> float | None:
        """1.0 where ``f(agent_input)`` is ``gold_output``, else 0.0; None where it is unknown."""
        try:
            return self.eval_k_input_prediction(code, gold_output, [agent_input], imports)[0]
        except (ServiceError, TransportError, OutcomeUnknown):
            return None

    def eval_output_prediction(
        self, code: str, gold_output: str, agent_output: str, imports: Sequence[str] = ()
    ) -> float | None:
        """1.0 where the two are equal, else 0.0; None where it is unknown. Nothing is run where
        both are literals."""
        try:
            return self.eval_k_output_prediction(code, gold_output, [agent_output], imports)[0]
        except (ServiceError, TransportError, OutcomeUnknown):
            return None

    def eval_k_input_prediction(
        self,
        code: str,
        gold_output: str,
        k_agent_inputs: Sequence[str],
        imports: Sequence[str] = (),
    ) -> list[float]:
        """As ``eval_input_prediction`` for each input, in their order. Raises ``ExecboxError``."""
        terms = [_call_of(text) if stays_within_brackets(text) else None for text in k_agent_inputs]
        return self._scores(_whole(code, imports), gold_output, terms)

    def eval_k_output_prediction(
        self,
        code: str,
        gold_output: str,
        k_agent_outputs: Sequence[str],
        imports: Sequence[str] = (),
    ) -> list[float]:
        """As ``eval_output_prediction`` for each output, in their order. Raises
        ``ExecboxError``."""
        terms = [text if stays_within_brackets(text) else None for text in k_agent_outputs]
        return self._scores(_whole(code, imports), gold_output, terms)

    def check_all(
        self,
        code: str,
        inputs: str,
        banned_keywords: Sequence[str] = (),
        check_determinism: bool = True,
        imports: Sequence[str] = (),
        check_error: bool = False,
        banned_keywords_for_errors_and_exceptions: Sequence[str] = (),
    ) -> tuple[bool, str | None]:
        """Whether a proposed function is usable, and its output.

        Determinism is checked under variation, in fresh processes, and not by two calls in one.
        With ``check_error`` the output is ``NoError`` or the name of the exception.
        """
        whole = _whole(code, imports)
        statements = banned_keywords_for_errors_and_exceptions if check_error else ()
        if (banned_keywords or statements) and self._has_banned(whole, banned_keywords, statements):
            return False, None
        checks = wire.Checks(determinism=wire.DeterminismCheck()) if check_determinism else None
        execution = self._one(whole, _repr_of(_call_of(inputs)), checks=checks)
        varied = execution.determinism is not None and not execution.determinism.deterministic
        if check_error:
            if varied or execution.status is wire.Status.INVALID_CODE:
                return False, "error"
            if execution.status is wire.Status.OK:
                return True, "NoError"
            return True, words.status_of(execution, self._limits).partition(":")[0].strip()
        if varied or execution.status is not wire.Status.OK:
            return False, ""
        return True, self._told(execution)[0]

    def apply(self, code: str) -> tuple[str, str]:
        """Run a snippet: ``str`` of its last line or, where that prints, what was printed."""
        lines = code.strip().split("\n")
        if "print(" in lines[-1]:
            return self._printed(code)
        return self._told(self._one("\n".join(lines[:-1]), f"str((\n{lines[-1]}\n))"))

    def batch_apply(self, batch_code: Sequence[str]) -> list[tuple[str, str]]:
        """``apply`` for each, ``max_workers`` at a time, in their order."""
        with ThreadPoolExecutor(max_workers=self._workers) as pool:
            return list(pool.map(self.apply, batch_code))

    def cleanup(self) -> None:
        """Close the connections; the next call opens new ones. Nothing else is held."""
        if self._own_client:
            self._client.close()
            self._client = Client(config=self._client.config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._own_client:
            self._client.close()

    def _scores(self, code: str, gold: str, terms: Sequence[str | None]) -> list[float]:
        """1.0 for each term whose value is the gold one; a term that is None is wrong."""
        # Each in a process of its own, and compared here, where no value can say that it is equal
        # to everything.
        gold_term = gold if stays_within_brackets(gold) else None
        gold_text, *texts = self._reprs(code, [gold_term, *terms])
        wanted = gold if gold_text is None else gold_text
        return [float(text is not None and same_value(wanted, text)) for text in texts]

    def _reprs(self, code: str, terms: Sequence[str | None]) -> list[str | None]:
        """``repr`` of each; literals are not run. None for None, and where it gives no value."""
        found: dict[str | None, str | None] = {None: None}
        to_run = []
        for term in dict.fromkeys(terms):
            if term is None:
                continue
            try:
                found[term] = repr(literal(term))
            except NoLiteral:
                to_run.append(term)
        executions = self._execute(code, [_repr_of(term) for term in to_run])
        for term, execution in zip(to_run, executions, strict=True):
            is_ok = execution.status is wire.Status.OK
            found[term] = str(execution.output) if is_ok else None
        return [found[term] for term in terms]

    def _told(self, execution: wire.Execution) -> tuple[str, str]:
        if execution.status is not wire.Status.OK:
            return "", self._cut(words.status_of(execution, self._limits))
        return self._cut(str(execution.output)), _DONE

    def _printed(self, code: str) -> tuple[str, str]:
        limits = wire.ProgramLimits(**self._limits.model_dump())
        options: dict[str, Any] = {"limits": limits, "isolation": self._isolation}
        try:
            (run,) = self._client.run(code, **options).runs
        except RequestError as error:
            if not is_about_the_code(error):
                raise
            if error.code == wire.ErrorCode.ANSWER_TOO_LARGE:
                raise OutcomeUnknown(f"what the code gave was not found out: {error}") from error
            return "", self._cut(words.refused(error))
        if run.status is wire.ProgramStatus.NOT_RUN:
            raise OutcomeUnknown("the program was not run: its turn never came")
        if run.status is wire.ProgramStatus.OK:
            return self._cut(run.stdout), _DONE
        return "", self._cut(words.status_of(run, self._limits))

    def _has_banned(self, code: str, modules: Sequence[str], statements: Sequence[str]) -> bool:
        """Found in a sandbox, because the source may be made to blow up whatever parses it."""
        call = wire.Call(args=[code, list(modules), list(statements)])
        (execution,) = self._client.execute(
            words.BANNED, [call], entry_point="has_banned", isolation=self._isolation
        ).executions
        return bool(execution.status is not wire.Status.OK or execution.output)

    def _one(
        self, code: str, expression: str, *, checks: wire.Checks | None = None
    ) -> wire.Execution:
        (execution,) = self._execute(code, [expression], checks=checks)
        return execution

    def _execute(
        self, code: str, expressions: Sequence[str], *, checks: wire.Checks | None = None
    ) -> list[wire.Execution]:
        if not expressions:
            return []
        try:
            answer = self._client.execute(
                code,
                [wire.Call(expression=text) for text in expressions],
                entry_point="f",
                limits=self._limits,
                checks=checks,
                isolation=self._isolation,
            )
        except RequestError as error:
            if not is_about_the_code(error):
                raise
            if len(expressions) > 1:
                # One may be to blame, or only their sum.
                alone = [self._execute(code, [text], checks=checks) for text in expressions]
                return [execution for (execution,) in alone]
            if error.code == wire.ErrorCode.ANSWER_TOO_LARGE:
                raise OutcomeUnknown(f"what the code gave was not found out: {error}") from error
            return [words.refused_execution(error)]
        if any(each.status is wire.Status.NOT_RUN for each in answer.executions):
            raise OutcomeUnknown("not all calls were run: job_time_s was over before their turn")
        return list(answer.executions)

    def _cut(self, text: str) -> str:
        text = text.strip()
        limit = self._output_chars_max
        if limit is None or len(text) <= limit:
            return text
        return f"{text[: limit // 2]}...{text[-(limit // 2) :]}"


def _whole(code: str, imports: Sequence[str]) -> str:
    # From a table of pandas they are an array, which has no truth value.
    return "\n".join([*imports, code])


def _call_of(inputs: str) -> str:
    # On lines of their own: a comment at their end must not swallow the bracket.
    return f"f(\n{inputs}\n)"


def _repr_of(term: str) -> str:
    return f"repr((\n{term}\n))"
