// The request as text to paste: curl, Python, the command line. The key is never in it.

import { Num, type Writable, writeExact, writePretty } from "./exact_json";
import type { Values } from "./fields";
import { type Body, fileListOf, type Mode, PATHS } from "./requests";

export type Form = "curl" | "python" | "cli";

export interface Asked {
  mode: Mode;
  values: Values;
  body: Body;
  origin: string;
  keyed: boolean;
}

export function sameAs(form: Form, asked: Asked): string {
  return { curl: curlText, python: pythonText, cli: cliText }[form](asked);
}

/** A word of a shell command. */
function quoted(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A here-document whose end no line of the text is. */
function document(text: string): { mark: string; lines: string } {
  let mark = "EXECBOX";
  while (text.split("\n").includes(mark)) mark += "_";
  return { mark, lines: `${text.replace(/\n$/, "")}\n${mark}` };
}

function post(asked: Asked, url: string, body: Writable): string {
  const { mark, lines } = document(writePretty(body));
  const key = asked.keyed ? ` \\\n  -H "Authorization: Bearer $EXECBOX_API_KEY"` : "";
  return (
    `curl -sS ${url} \\\n  -H 'Content-Type: application/json'${key} \\\n` +
    `  --data-binary @- <<'${mark}'\n${lines}`
  );
}

function curlText(asked: Asked): string {
  const url = `${asked.origin}${PATHS[asked.mode]}`;
  if (asked.mode !== "session") return post(asked, quoted(url), asked.body);
  const key = asked.keyed ? ` -H "Authorization: Bearer $EXECBOX_API_KEY"` : "";
  const begin = post(asked, quoted(url), asked.body);
  return (
    `id=$(${begin}\n)\nid=$(printf %s "$id" | sed 's/.*"id": *"\\([^"]*\\)".*/\\1/')\n` +
    `${post(asked, `"${url}/$id/run"`, { code: asked.values.code ?? "" })}\n` +
    `curl -sS -X DELETE${key} "${url}/$id"`
  );
}

/** A value as Python writes it. */
export function pythonLiteral(value: Writable, indent = ""): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return pythonString(value);
  if (typeof value === "number") return String(value);
  if (value instanceof Num) {
    const special: Record<string, string> = { NaN: "float('nan')", Infinity: "float('inf')", "-Infinity": "-float('inf')" };
    return special[value.text] ?? value.text;
  }
  const deeper = `${indent}    `;
  const list = Array.isArray(value);
  const entries: [string, Writable][] = list
    ? (value as Writable[]).map((each) => ["", each])
    : value instanceof Map
      ? [...value]
      : (Object.entries(value).filter(([, each]) => each !== undefined) as [string, Writable][]);
  const part = (at: string) =>
    entries.map(([name, each]) => (list ? "" : `${pythonString(name)}: `) + pythonLiteral(each, at));
  const [open, close] = list ? ["[", "]"] : ["{", "}"];
  const line = open + part(indent).join(", ") + close;
  if (line.length + indent.length <= 92 && !line.includes("\n")) return line;
  return `${open}\n${part(deeper).map((each) => `${deeper}${each},\n`).join("")}${indent}${close}`;
}

function pythonString(text: string): string {
  const inner = [...text]
    .map((character) => {
      const code = character.codePointAt(0) ?? 0;
      if (character === "\\" || character === '"') return `\\${character}`;
      if (character === "\n") return "\\n";
      if (code < 32 || code === 127) return `\\x${code.toString(16).padStart(2, "0")}`;
      if (code >= 0xd800 && code <= 0xdfff) return `\\u${code.toString(16)}`;
      return character;
    })
    .join("");
  return `"${inner}"`;
}

/** Source over several lines, where it can stand as it is. */
function pythonSource(text: string): string {
  const plain = !/\\|"""|\r|[\x00-\x08\x0b-\x1f\x7f]|[\ud800-\udfff](?![\udc00-\udfff])|"$/u.test(text);
  return text.includes("\n") && plain ? `"""${text}"""` : pythonString(text);
}

function options(values: Body): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `        ${name}=${pythonLiteral(value as Writable, "        ")},\n`)
    .join("");
}

function pythonText(asked: Asked): string {
  const { body, values } = asked;
  const key = asked.keyed ? "  # and EXECBOX_API_KEY in the environment" : "";
  const head = `from execbox import Client\n\nCODE = ${pythonSource(values.code ?? "")}\n\n`;
  const open = `${head}with Client(${pythonString(asked.origin)}) as client:${key}\n`;
  if (asked.mode === "function") {
    const { function: source, calls, replay: _, ...rest } = body as Body & { function: Body; calls: Body[] };
    if (calls.every((call) => call.expression === undefined)) {
      const plain = calls.map((call) => (call.kwargs ?? call.args) as Writable);
      const { code: __, ...named } = source;
      return (
        `${open}    answer = client.execute(\n        CODE,\n        ${pythonLiteral(plain, "        ")},\n` +
        `${options({ ...named, ...rest })}    )\n` +
        `for execution in answer.executions:\n    print(execution.model_dump_json(indent=2))\n`
      );
    }
    const list = calls.map((call) => `            wire.Call(${Object.entries(call).map(([name, value]) => `${name}=${pythonLiteral(value as Writable, "            ")}`).join(", ")}),\n`);
    const { code: __, ...named } = source;
    return (
      `${open.replace("import Client", "import Client, wire")}    answer = client.execute(\n        CODE,\n        [\n${list.join("")}        ],\n` +
      `${options({ ...named, ...rest })}    )\n` +
      `for execution in answer.executions:\n    print(execution.model_dump_json(indent=2))\n`
    );
  }
  if (asked.mode === "program") {
    const { program, ...rest } = body as Body & { program: Body };
    const { code: _, ...named } = program;
    return (
      `${open}    answer = client.run(\n        CODE,\n${options({ ...named, ...rest })}    )\n` +
      `for run in answer.runs:\n    print(run.model_dump_json(indent=2))\n`
    );
  }
  if (asked.mode === "verify") {
    const { items, ...rest } = body as Body & { items: Body[] };
    return (
      `from execbox import Client\n\nwith Client(${pythonString(asked.origin)}) as client:${key}\n` +
      `    answer = client.verify(\n        ${pythonLiteral(items, "        ")},\n${options(rest)}    )\n` +
      `for item in answer.items:\n    print(item.verdict, item.feedback)\n`
    );
  }
  const opened = options(body);
  return (
    `${open}    with client.session(${opened ? `\n${opened}    ` : ""}) as session:\n` +
    `        cell = session.run(CODE)\n        print(cell.model_dump_json(indent=2))\n`
  );
}

function cliText(asked: Asked): string {
  return { function: cliRun, program: cliExec, verify: cliVerify, session: cliRepl }[asked.mode](asked);
}

function fileCommand(name: string, text: string): string {
  // A here-document always ends with a line's end.
  if (!text.endsWith("\n")) return `printf %s ${quoted(text)} >${quoted(name)}\n`;
  const { mark, lines } = document(text);
  return `cat >${quoted(name)} <<'${mark}'\n${lines}\n`;
}

function lined(code: string | undefined): string {
  return code?.endsWith("\n") ? code : `${code ?? ""}\n`;
}

function shared(asked: Asked): string[] {
  const { body } = asked;
  const words = ["--url", quoted(asked.origin)];
  for (const [name, value] of Object.entries((body.limits as Body | undefined) ?? {})) {
    words.push(`--${name.replaceAll("_", "-")}`, String(value));
  }
  for (const name of ["isolation", "profile", "convert"]) {
    if (body[name]) words.push(`--${name}`, String(body[name]));
  }
  return words;
}

function cliRun(asked: Asked): string {
  const { body } = asked as Asked & { body: Body & { function: Body; calls: Body[]; checks?: Body } };
  const words = ["execbox run function.py", ...shared(asked)];
  if (body.function.entry_point) words.push("--entry-point", quoted(String(body.function.entry_point)));
  if (body.function.prelude) words.push("--prelude", String(body.function.prelude));
  for (const call of body.calls) {
    if (call.kwargs !== undefined) words.push("--input", quoted(writeExact(call.kwargs)));
    else if (call.args !== undefined) words.push("--args", quoted(writeExact(call.args)));
    else words.push("--expression", quoted(String(call.expression)));
  }
  const runs = (body.checks?.determinism as Body | undefined)?.runs;
  if (runs instanceof Num) words.push("--runs", runs.text);
  if (body.checks?.complexity) words.push("--complexity", "codeio");
  return fileCommand("function.py", lined(asked.values.code)) + words.join(" ");
}

function cliExec(asked: Asked): string {
  const { body } = asked as Asked & { body: Body & { program: Body; expected?: Body } };
  const name = { bash: "program.sh", cpp: "program.cpp" }[String(body.program.language)] ?? "main.py";
  let text = fileCommand(name, lined(asked.values.code));
  const words = ["execbox exec", name, ...shared(asked)];
  if (body.program.stdin !== undefined) words.push("--stdin", quoted(String(body.program.stdin)));
  fileListOf(asked.values.files).forEach(([path, content], index) => {
    const local = `given-${index + 1}`;
    text += fileCommand(local, content);
    words.push("--file", quoted(`${path}=${local}`));
  });
  for (const glob of (body.program.fetch as string[] | undefined) ?? []) words.push("--fetch", quoted(glob));
  if (body.program.fetch) words.push("--into", "fetched");
  if (body.expected) {
    text += fileCommand("expected.txt", String(body.expected.stdout));
    words.push("--expected", "expected.txt", "--comparator", String(body.expected.comparator));
  }
  const given = (body.program.arguments as string[] | undefined) ?? [];
  if (given.length) words.push("--", ...given.map(quoted));
  return text + words.join(" ");
}

function cliVerify(asked: Asked): string {
  const item = (asked.body.items as Body[])[0] as Body & { function?: Body };
  const response = item.response ?? writeExact({ [String(item.kind)]: item.prediction });
  const record: Body = {
    itemid: 0,
    ioid: 0,
    io_pred: item.kind === "input" ? "i" : "o",
    messages: [{ role: "user", content: "?" }],
    refcode: item.function?.code ?? "",
    funcname: item.function?.entry_point ?? "main_solution",
    io: { input: item.input, output: item.output },
    output: response,
  };
  const words = ["execbox verify answers.jsonl -o verified.jsonl --restart", ...shared(asked)];
  if (item.comparator) words.push("--comparator", String(item.comparator));
  return `${fileCommand("answers.jsonl", writeExact(record))}${words.join(" ")}\ncat verified.jsonl`;
}

function cliRepl(asked: Asked): string {
  const { mark, lines } = document(asked.values.code ?? "");
  return `execbox repl ${shared(asked).join(" ")} <<'${mark}'\n${lines}`;
}
