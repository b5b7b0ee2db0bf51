// What came of a run, as elements. Everything shown of it is text of code nobody has read.

import { h } from "./dom";
import {
  type Exact,
  isMap,
  listOf,
  member,
  numberOf,
  textOf,
  writePretty,
} from "./exact_json";

export interface Shown {
  /** The limits that held, by name: what was asked for, or the service's default. */
  limits: Record<string, number>;
  /** Show a line of the source. */
  goTo: (line: number) => void;
}

const GOOD = new Set(["ok", "correct"]);
const NOT_THE_CODE = new Set(["not_run"]);
const IN_WORDS: Record<string, string> = {
  ok: "It ended as it should.",
  exception: "The code raised an exception.",
  timeout: "It reached a time limit.",
  memory_exceeded: "It used more memory than it may.",
  output_too_large: "Its output is longer than is kept.",
  unserializable: "What it returned is no JSON.",
  no_result: "Its process ended without a result.",
  invalid_code: "The source is no Python, or has no such entry point.",
  not_run: "Its turn never came. That is no verdict.",
  exit_nonzero: "It ended with an exit code that is not 0.",
  compile_error: "The compiler refused the source.",
  correct: "The prediction is right.",
  incorrect: "The prediction is wrong.",
  no_answer: "No answer was found in the text.",
};

export function chip(status: string): HTMLElement {
  const kind = GOOD.has(status) ? "good" : NOT_THE_CODE.has(status) ? "warn" : "bad";
  return h("span", { class: `chip ${kind}` }, status);
}

export function block(title: string, text: string, label = title): HTMLElement {
  return h(
    "div",
    null,
    h("h3", null, title),
    h("pre", { tabindex: "0", role: "group", "aria-label": label }, text),
  );
}

export function json(value: Exact, width = 60): string {
  return writePretty(value, "", width);
}

/** One execution of a function, or the execution of a verified item. */
export function executionView(title: string, execution: Exact, shown: Shown): HTMLElement {
  const status = textOf(member(execution, "status")) ?? "unknown";
  const limit = textOf(member(execution, "limit"));
  return h(
    "article",
    { class: "execution" },
    h(
      "div",
      { class: "head" },
      h("strong", { class: "mono" }, title),
      chip(status),
      h("span", null, IN_WORDS[status] ?? ""),
    ),
    endFacts(execution, limit),
    status === "ok" ? outputView(execution) : null,
    errorView(execution, shown),
    printedView(execution),
    usageView(execution, shown, limit),
    determinismView(member(execution, "determinism"), shown),
    complexityView(member(execution, "complexity")),
    replayView(member(execution, "replay")),
  );
}

function endFacts(execution: Exact, limit: string | null, program = false): HTMLElement | null {
  const facts: [string, string][] = [];
  if (limit) facts.push(["limit reached", limit]);
  const signal = textOf(member(execution, "signal"));
  if (signal) facts.push(["signal", signal]);
  const code = numberOf(member(execution, "exit_code"));
  // A function that returned has 0, which says nothing.
  if (code !== null && (code !== 0 || program)) facts.push(["exit code", String(code)]);
  return factList(facts);
}

export function factList(facts: [string, string][]): HTMLElement | null {
  if (facts.length === 0) return null;
  return h(
    "dl",
    { class: "facts" },
    ...facts.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
  );
}

function outputView(execution: Exact): HTMLElement {
  const text = textOf(member(execution, "output_text"));
  const flags = listOf(member(execution, "output_flags")).map(String);
  return h(
    "div",
    null,
    block("Output", text ?? json(member(execution, "output"))),
    flags.includes("non_finite")
      ? h("p", { class: "hint" }, "NaN and infinities are no ground truth.")
      : null,
    flags.includes("mutates_input")
      ? h("p", { class: "hint" }, "The function changes its arguments in place.")
      : null,
  );
}

/** The message, and the traceback with each line of the source to go to. */
function errorView(execution: Exact, shown: Shown): HTMLElement | null {
  const error = member(execution, "error");
  if (!isMap(error)) return null;
  const message = textOf(error.get("message")) ?? "";
  const type = textOf(error.get("type")) ?? "error";
  const traceback = textOf(error.get("traceback"));
  const line = numberOf(error.get("line"));
  return h(
    "div",
    null,
    h("p", { class: "notice bad mono", role: "group", "aria-label": "Error" }, message ? `${type}: ${message}` : type),
    line !== null
      ? h(
          "p",
          null,
          h("button", { type: "button", onclick: () => shown.goTo(line) }, `Go to line ${line}`),
        )
      : null,
    traceback ? tracebackView(traceback, shown) : null,
  );
}

function tracebackView(traceback: string, shown: Shown): HTMLElement {
  const lines = traceback.replace(/\n$/, "").split("\n");
  return h(
    "div",
    null,
    h("h3", null, "Traceback"),
    h(
      "pre",
      { tabindex: "0", role: "group", "aria-label": "Traceback" },
      ...lines.flatMap((text) => {
        const frame = /^\s*File ".*", line (\d+)/.exec(text);
        if (!frame) return [`${text}\n`];
        const number = Number(frame[1]);
        const go = { type: "button", class: "line", onclick: () => shown.goTo(number) };
        return [h("button", go, text.trim()), "\n"];
      }),
    ),
  );
}

export function printedView(execution: Exact): HTMLElement {
  const truncated = member(execution, "truncated");
  const view = (name: string): HTMLElement | null => {
    const text = textOf(member(execution, name));
    if (!text) return null;
    const cut = member(truncated, name) === true;
    return block(cut ? `${name} (its beginning: more was printed than is kept)` : name, text);
  };
  return h("div", null, view("stdout"), view("stderr"));
}

function usageView(execution: Exact, shown: Shown, limit: string | null): HTMLElement | null {
  const usage = member(execution, "usage");
  if (!isMap(usage)) return null;
  const { limits } = shown;
  const mib = 1024 * 1024;
  return h(
    "div",
    null,
    h("h3", null, "Usage"),
    meter("CPU time", numberOf(usage.get("cpu_time_s")), limits.cpu_time_s, seconds, limit === "cpu_time"),
    meter("Wall time", numberOf(usage.get("wall_time_s")), limits.wall_time_s, seconds, limit === "wall_time"),
    meter(
      "Peak memory",
      numberOf(usage.get("peak_memory_bytes")),
      limits.memory_mb === undefined ? undefined : limits.memory_mb * mib,
      (bytes) => `${(bytes / mib).toFixed(bytes < 10 * mib ? 1 : 0)} MiB`,
      textOf(member(execution, "status")) === "memory_exceeded",
    ),
  );
}

export function seconds(value: number): string {
  if (value < 0.0995) return `${(value * 1000).toFixed(value < 0.00995 ? 1 : 0)} ms`;
  return `${value.toFixed(value < 9.95 ? 2 : 1)} s`;
}

function meter(
  name: string,
  value: number | null,
  limit: number | undefined,
  write: (value: number) => string,
  reached: boolean,
): HTMLElement | null {
  if (value === null) return null;
  const text = limit === undefined ? write(value) : `${write(value)} of ${write(limit)}`;
  const share = limit ? Math.min(1, value / limit) : 0;
  const bar = h("i", null);
  bar.style.width = `${(share * 100).toFixed(1)}%`;
  return h(
    "div",
    { class: "meter" },
    h("span", null, name),
    h(
      "span",
      {
        class: reached ? "track over" : "track",
        role: "meter",
        "aria-label": `${name}${reached ? ", limit reached" : ""}`,
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        "aria-valuenow": Math.round(share * 100),
        "aria-valuetext": text,
      },
      bar,
    ),
    h("span", null, text),
  );
}

function determinismView(found: Exact, shown: Shown): HTMLElement | null {
  if (!isMap(found)) return null;
  const runs = numberOf(found.get("runs")) ?? 0;
  const cause = textOf(found.get("cause"));
  const good = found.get("deterministic") === true;
  const outputs = listOf(found.get("outputs"));
  const hints = listOf(found.get("hints"));
  return h(
    "div",
    null,
    h("h3", null, "Determinism"),
    h(
      "p",
      { class: `notice ${good ? "good" : "bad"}` },
      good
        ? `The same output in ${runs} runs: different hash seed, clock, entropy, process and locale.`
        : `Not deterministic: ${outputs.length} different outputs in ${runs} runs. ${causeInWords(cause)}`,
    ),
    outputs.length > 1 ? sideBySide(outputs) : null,
    hints.length
      ? h(
          "ul",
          null,
          ...hints.map((hint) => {
            const line = numberOf(member(hint, "line")) ?? 0;
            const what = `${textOf(member(hint, "name"))} reads ${textOf(member(hint, "reads"))}`;
            const go = { type: "button", class: "line", onclick: () => shown.goTo(line) };
            return h("li", null, h("button", go, `line ${line}`), ` ${what}`);
          }),
        )
      : null,
  );
}

function causeInWords(cause: string | null): string {
  const known: Record<string, string> = {
    hash_seed: "Cause: hash_seed, the order of sets and hashes.",
    clock: "Cause: clock, it reads what time it is.",
    entropy: "Cause: entropy, it draws random numbers.",
    timing: "Cause: timing, how fast it ran.",
    process_state: "Cause: process_state, such as its pid, directory or addresses.",
    unknown: "No single cause was found.",
  };
  return cause ? (known[cause] ?? `Cause: ${cause}.`) : "";
}

/** Each output in a column; lines that the first one has not in the same place are marked. */
function sideBySide(outputs: Exact[]): HTMLElement {
  const texts = outputs.map((output) => json(output, 24).split("\n"));
  const first = texts[0] ?? [];
  return h(
    "div",
    { class: "side" },
    ...texts.map((lines, index) =>
      h(
        "div",
        null,
        h("h3", null, index === 0 ? "Output 1 (baseline)" : `Output ${index + 1}`),
        h(
          "pre",
          { tabindex: "0", role: "group", "aria-label": `Output ${index + 1}` },
          ...lines.map((line, at) =>
            h("span", { class: index > 0 && line !== first[at] ? "differs" : "same" }, line),
          ),
        ),
      ),
    ),
  );
}

function complexityView(found: Exact): HTMLElement | null {
  if (!isMap(found)) return null;
  const violations = listOf(found.get("violations"));
  if (found.get("ok") === true) {
    return h("p", { class: "notice good" }, "Input and output are within the object-size rule.");
  }
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": "Size violations" },
    table(
      "Beyond the object-size rule",
      ["path", "rule", "measured", "limit"],
      violations.map((one) => [
        textOf(member(one, "path")) ?? "",
        textOf(member(one, "rule")) ?? "",
        numberOf(member(one, "measured")) ?? "",
        numberOf(member(one, "limit")) ?? "",
      ]),
    ),
  );
}

export function table(caption: string, names: string[], rows: (string | number | Node)[][]): HTMLElement {
  const kind = (value: unknown) => (typeof value === "number" ? { class: "number" } : null);
  return h(
    "table",
    null,
    h("caption", null, caption),
    h("thead", null, h("tr", null, ...names.map((name, at) => h("th", { scope: "col", ...kind(rows[0]?.[at]) }, name)))),
    h("tbody", null, ...rows.map((row) => h("tr", null, ...row.map((cell) => h("td", kind(cell), cell))))),
  );
}

function replayView(found: Exact): HTMLElement | null {
  if (!isMap(found)) return null;
  const drifted = listOf(found.get("drifted")).map(String);
  const holds = found.get("holds") === true;
  const text = holds ? "The certified output still holds." : "The certified output no longer holds.";
  return h(
    "p",
    { class: `notice ${holds ? "good" : "bad"}` },
    drifted.length ? `${text} Different from then: ${drifted.join(", ")}.` : text,
  );
}

/** One run of a program. */
export function programView(title: string, run: Exact, shown: Shown): HTMLElement {
  const status = textOf(member(run, "status")) ?? "unknown";
  const verdict = textOf(member(run, "verdict"));
  const limit = textOf(member(run, "limit"));
  const files = member(run, "files");
  const left = listOf(member(run, "files_left_out"));
  return h(
    "article",
    { class: "execution" },
    h("div", { class: "head" }, h("strong", { class: "mono" }, title), chip(status), h("span", null, IN_WORDS[status] ?? "")),
    verdict ? h("p", null, "Verdict on what it printed: ", chip(verdict)) : null,
    endFacts(run, limit, true),
    errorView(run, shown),
    printedView(run),
    isMap(files) && files.size
      ? h("div", null, h("h3", null, "Files"), h("ul", null, ...[...files].map(([path, file]) => h("li", null, fileLink(path, file)))))
      : null,
    left.length
      ? h("ul", { class: "hint" }, ...left.map((one) => h("li", null, `${textOf(member(one, "path")) || "files"} left out: ${textOf(member(one, "reason"))}`)))
      : null,
    usageView(run, shown, limit),
  );
}

function fileLink(path: string, file: Exact): HTMLElement {
  const bytes = Uint8Array.from(atob(textOf(member(file, "base64")) ?? ""), (character) => character.charCodeAt(0));
  const button = h("button", { type: "button" }, `Save ${path} (${bytes.length} bytes)`);
  button.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    const anchor = h("a", { href: address, download: path.split("/").at(-1) ?? "file" });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  });
  return button;
}

export function compilationView(compilation: Exact): HTMLElement | null {
  const said = textOf(member(compilation, "stderr"));
  return said ? block("The compiler said", said) : null;
}

/** One verified prediction. */
export function itemView(item: Exact, shown: Shown): HTMLElement {
  const verdict = textOf(member(item, "verdict"));
  const error = member(item, "error");
  const execution = member(item, "execution");
  return h(
    "article",
    { class: "execution" },
    verdict
      ? h("div", { class: "head" }, chip(verdict), h("span", null, IN_WORDS[verdict] ?? ""))
      : h("p", { class: "notice warn" }, `No verdict, because the service failed: ${textOf(member(error, "message")) ?? ""}`),
    block("Feedback for a next turn", textOf(member(item, "feedback")) ?? "none"),
    verdict === "no_answer" ? null : block("The prediction as it was understood", json(member(item, "extracted"))),
    isMap(execution) ? block("What the function gave", json(member(item, "executed_output"))) : null,
    isMap(execution) ? executionView("execution", execution, shown) : null,
  );
}

/** One cell of a session. */
export function cellView(code: string, cell: Exact, shown: Shown): HTMLElement {
  const status = textOf(member(cell, "status")) ?? "unknown";
  const value = member(cell, "value");
  const limit = textOf(member(cell, "limit"));
  const repr = textOf(member(value, "repr"));
  const media = listOf(member(value, "media"));
  return h(
    "article",
    { class: "execution" },
    h("div", { class: "head" }, h("strong", null, `Cell ${numberOf(member(cell, "cell")) ?? ""}`), chip(status), h("span", null, IN_WORDS[status] ?? "")),
    h("details", null, h("summary", null, "Source"), h("pre", { tabindex: "0", role: "group", "aria-label": "Source of the cell" }, code)),
    repr !== null ? block("Value", repr) : null,
    ...media.map((one, at) =>
      h("img", {
        class: "image",
        alt: `Figure ${at + 1} that the cell drew`,
        src: `data:image/png;base64,${(textOf(member(one, "base64")) ?? "").replace(/[^A-Za-z0-9+/=]/g, "")}`,
      }),
    ),
    errorView(cell, shown),
    printedView(cell),
    member(cell, "session_lost") === true
      ? h("p", { class: "notice warn" }, `The session ended with this cell: ${textOf(member(cell, "lost_reason")) ?? ""}`)
      : null,
    usageView(cell, shown, limit),
  );
}

/** What holds for the whole answer. */
export function answerFacts(answer: Exact): HTMLElement | null {
  const facts: [string, string][] = [];
  for (const name of ["isolation", "engine", "image"]) {
    const text = textOf(member(answer, name));
    if (text) facts.push([name, text]);
  }
  const queue = numberOf(member(answer, "queue_time_s"));
  if (queue !== null) facts.push(["waited for a slot", seconds(queue)]);
  return factList(facts);
}

export function certificateView(certificate: Exact): HTMLElement | null {
  if (!isMap(certificate)) return null;
  return h(
    "details",
    { class: "box" },
    h("summary", null, "Certificate"),
    h("pre", { tabindex: "0", role: "group", "aria-label": "Certificate" }, json(certificate)),
  );
}
