// From what the fields hold to a request of the API. Pure: sends nothing, shows nothing.

import { type Exact, Num, readExact, type Writable } from "./exact_json";
import type { Values } from "./fields";

export type Mode = "function" | "program" | "verify" | "session";
export type Body = { [name: string]: Writable };

/** What is wrong with a field, in words; the reader can mend it. */
export class FieldMistake extends Error {
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

export const LIMITS: readonly { name: string; label: string; min: number; max: number; step: string }[] = [
  { name: "cpu_time_s", label: "CPU time (s)", min: 0.01, max: 60, step: "any" },
  { name: "wall_time_s", label: "Wall time (s)", min: 0.05, max: 120, step: "any" },
  { name: "memory_mb", label: "Memory (MiB)", min: 16, max: 4096, step: "1" },
  { name: "output_bytes", label: "Output (bytes)", min: 1, max: 16777216, step: "1" },
  { name: "stdout_bytes", label: "Stdout kept (bytes)", min: 0, max: 1048576, step: "1" },
];

export const PATHS: Record<Mode, string> = {
  function: "/v1/execute",
  program: "/v1/run",
  verify: "/v1/verify",
  session: "/v1/sessions",
};

/** Throws FieldMistake. */
export function requestOf(mode: Mode, values: Values): Body {
  return { function: execute, program: run, verify, session }[mode](values);
}

function execute(values: Values): Body {
  const calls = callsOf(values.calls ?? "");
  const replay = values.replay ? readExact(values.replay) : null;
  return {
    function: functionOf(values),
    calls,
    limits: limitsOf(values),
    checks: checksOf(values),
    convert: values.convert === "codeio" ? "codeio" : undefined,
    replay: Array.isArray(replay) && replay.length === calls.length ? replay : undefined,
    ...isolationOf(values),
  };
}

function functionOf(values: Values): Body {
  return {
    code: values.code ?? "",
    entry_point: values.entry_point?.trim() || undefined,
    prelude: values.prelude === "yes" ? "codeio" : undefined,
  };
}

/** One call a line: an object is keyword arguments, an array positional ones, else an expression. */
export function callsOf(text: string): Body[] {
  const calls: Body[] = [];
  text.split("\n").forEach((line, index) => {
    if (line.trim()) calls.push(callOf(line.trim(), index + 1));
  });
  if (calls.length === 0) {
    throw new FieldMistake("calls", 'There is no call: write one a line, such as {"n": 1} or [1, 2].');
  }
  return calls;
}

function callOf(line: string, number: number): Body {
  if (!line.startsWith("{") && !line.startsWith("[")) return { expression: line };
  let value: Exact;
  try {
    value = readExact(line);
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message.replace(/line 1, /, "") : String(error);
    throw new FieldMistake("calls", `Call ${number} begins as JSON and is none: ${why}.`);
  }
  return Array.isArray(value) ? { args: value } : { kwargs: value };
}

function checksOf(values: Values): Body | undefined {
  const runs = values.runs && values.runs !== "1" ? { runs: new Num(values.runs) } : undefined;
  const complexity = values.complexity === "yes" ? "codeio" : undefined;
  return runs || complexity ? { determinism: runs, complexity } : undefined;
}

function limitsOf(values: Values, names = LIMITS.map((limit) => limit.name)): Body | undefined {
  const limits: Body = {};
  for (const name of names) {
    const text = values[name]?.trim();
    if (!text) continue;
    if (!Number.isFinite(Number(text))) throw new FieldMistake(name, `${name} is no number: ${text}`);
    limits[name] = Number(text);
  }
  return Object.keys(limits).length ? limits : undefined;
}

function isolationOf(values: Values): Body {
  return { isolation: values.isolation || undefined, profile: values.profile || undefined };
}

function run(values: Values): Body {
  return {
    program: {
      code: values.code ?? "",
      language: values.language && values.language !== "python" ? values.language : undefined,
      arguments: linesOf(values.arguments),
      stdin: values.stdin || undefined,
      files: filesOf(values.files),
      fetch: linesOf(values.fetch),
    },
    expected: values.expected
      ? { stdout: values.expected, comparator: values.stdout_comparator || "exact" }
      : undefined,
    limits: limitsOf(values, ["cpu_time_s", "wall_time_s", "memory_mb", "stdout_bytes"]),
    ...isolationOf(values),
  };
}

function linesOf(text: string | undefined): string[] | undefined {
  const lines = (text ?? "").split("\n").filter((line) => line !== "");
  return lines.length ? lines : undefined;
}

/** The field holds a JSON array of [path, content]. */
export function fileListOf(text: string | undefined): [string, string][] {
  return text ? (JSON.parse(text) as [string, string][]) : [];
}

function filesOf(text: string | undefined): Body | undefined {
  const files = fileListOf(text).filter(([path]) => path.trim() !== "");
  return files.length ? Object.fromEntries(files.map(([path, content]) => [path.trim(), content])) : undefined;
}

function verify(values: Values): Body {
  const item: Body = { id: "1", kind: values.kind || "output" };
  if (values.code?.trim()) item.function = functionOf(values);
  if (values.answer_form === "prediction") item.prediction = valueOf(values, "answer", true);
  else item.response = values.answer ?? "";
  item.input = valueOf(values, "input", false);
  item.output = valueOf(values, "output", false);
  if (values.comparator) item.comparator = values.comparator;
  item.limits = limitsOf(values);
  return { items: [item], ...isolationOf(values) };
}

function valueOf(values: Values, name: string, needed: boolean): Exact | undefined {
  const text = values[name]?.trim() ?? "";
  if (!text && !needed) return undefined;
  try {
    return readExact(text);
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : String(error);
    throw new FieldMistake(name, `The ${name === "answer" ? "prediction" : name} is no JSON: ${why}.`);
  }
}

function session(values: Values): Body {
  return {
    limits: limitsOf(values),
    profile: values.profile || undefined,
    files: filesOf(values.files),
  };
}
