// The playground: fields, running what they ask for, and the parts around it.

import { Failed, key, lines, postJson, send } from "./api";
import { announce, byId, h, replace, tabs } from "./dom";
import { type Editor, makeEditor } from "./editor";
import { type Exact, isMap, listOf, member, numberOf, textOf, writeExact } from "./exact_json";
import { EXAMPLES } from "./examples";
import { Fields, type Values } from "./fields";
import {
  type Body,
  FieldMistake,
  fileListOf,
  LIMITS,
  type Mode,
  PATHS,
  requestOf,
} from "./requests";
import {
  answerFacts,
  cellView,
  certificateView,
  compilationView,
  executionView,
  itemView,
  programView,
  type Shown,
} from "./results";
import { type Form, sameAs } from "./same_request";
import { linkTo, type Shared } from "./share";

interface Panel {
  fields: Fields;
  editor: Editor;
}

const MODES: readonly Mode[] = ["function", "program", "verify", "session"];
const CODE_LABELS: Record<Mode, string> = {
  function: "Source of the function",
  program: "Source of the program",
  verify: "Source of the function",
  session: "The next cell",
};

export class Playground {
  private mode: Mode = "function";
  private readonly panels: Record<Mode, Panel>;
  private readonly limits = new Fields(() => this.changed());
  private readonly choose: (name: string) => void;
  private form: Form = "curl";
  private capabilities: Exact = null;
  private running: AbortController | null = null;
  private sessionId: string | null = null;

  constructor() {
    const limitBox = byId("limits");
    limitBox.append(
      h("div", { class: "grid" },
        ...LIMITS.map((limit) => this.limits.number(limit.name, limit.label, limit)),
        this.limits.select("isolation", "Isolation", [["", "default"], ["container", "container"], ["process", "process"]]),
        this.limits.select("profile", "Profile", [["", "default"], ["processes", "processes"]]),
      ),
      h("p", { class: "hint" }, "Empty means the service's default. What its operator does not permit is refused, with the reason."),
    );
    this.panels = Object.fromEntries(MODES.map((mode) => [mode, this.panel(mode)])) as Record<Mode, Panel>;
    for (const mode of MODES) this.fill(mode, EXAMPLES[mode][0]?.values ?? {});
    this.choose = tabs(byId("modes"), (name) => this.show(name as Mode)).choose;
    tabs(byId("forms"), (name) => {
      this.form = name as Form;
      this.changed();
    }).choose("curl");
    byId("run").addEventListener("click", () => void this.run());
    byId("stop").addEventListener("click", () => this.running?.abort());
    byId("link").addEventListener("click", () => void this.copyLink());
    byId("copy-same").addEventListener("click", () => void copy(byId("same-code").textContent ?? "", "request"));
    byId("end-session").addEventListener("click", () => void this.endSession());
    byId("same").addEventListener("toggle", () => this.changed());
    byId<HTMLSelectElement>("example").addEventListener("change", (event) => {
      const example = EXAMPLES[this.mode][Number((event.target as HTMLSelectElement).value)];
      if (example) this.fill(this.mode, example.values);
    });
    this.choose("function");
  }

  /** What the service permits, once it has said so. */
  setCapabilities(capabilities: Exact): void {
    this.capabilities = capabilities;
    const languages = listOf(member(capabilities, "languages")).map(String);
    for (const option of document.querySelectorAll<HTMLOptionElement>("#program option[value=bash], #program option[value=cpp]")) {
      option.disabled = !languages.includes(option.value);
      if (option.disabled) option.textContent = `${option.value} (not in this image)`;
    }
    this.changed();
  }

  /** Show a request: one that a link carries, or a record's. Runs nothing. */
  load({ mode, values }: Shared): void {
    this.choose(mode);
    this.fill(mode, values);
    replace(byId("result"), h("p", { class: "hint" }, "Filled in, and not run. Look at it first: code of a stranger runs in a throwaway container, and it is you who asks for it."));
    byId("run").focus();
  }

  private panel(mode: Mode): Panel {
    const fields = new Fields(() => this.changed());
    const host = h("div", { class: mode === "session" ? "editor low" : "editor" });
    const panel = byId(mode);
    const editor = makeEditor(host, {
      label: CODE_LABELS[mode],
      run: () => void this.run(),
      changed: () => this.changed(),
    });
    fields.add("code", editor);
    panel.append(h("p", { class: "label" }, CODE_LABELS[mode]), host, ...this.inputs(mode, fields, editor));
    return { fields, editor };
  }

  private inputs(mode: Mode, fields: Fields, editor: Editor): HTMLElement[] {
    if (mode === "function") return functionInputs(fields);
    if (mode === "program") return programInputs(fields, editor);
    if (mode === "verify") return verifyInputs(fields);
    return [];
  }

  private show(mode: Mode): void {
    this.mode = mode;
    const example = byId<HTMLSelectElement>("example");
    replace(example, h("option", { value: "" }, "choose …"), ...EXAMPLES[mode].map((each, at) => h("option", { value: at }, each.name)));
    byId("run").textContent = mode === "session" ? "Run cell" : mode === "verify" ? "Verify" : "Run";
    byId("session-actions").hidden = mode !== "session";
    this.changed();
  }

  private values(mode: Mode): Values {
    return { ...this.limits.values(), ...this.panels[mode].fields.values() };
  }

  private fill(mode: Mode, values: Values): void {
    this.panels[mode].fields.set(values);
    this.limits.set(values);
    this.panels[mode].editor.markLine(null);
  }

  private changed(): void {
    // While the constructor builds the panels there is nothing to show yet.
    if (!this.panels || !byId<HTMLDetailsElement>("same").open) return;
    const target = byId("same-code");
    try {
      const values = this.values(this.mode);
      target.textContent = sameAs(this.form, {
        mode: this.mode,
        values,
        body: requestOf(this.mode, values),
        origin: location.origin,
        keyed: key.get() !== "",
      });
    } catch (error) {
      target.textContent = error instanceof FieldMistake ? error.message : String(error);
    }
  }

  private async copyLink(): Promise<void> {
    const shared = { mode: this.mode, values: this.values(this.mode) };
    const link = await linkTo(shared, location.href);
    history.replaceState(null, "", link);
    await copy(link, "link");
  }

  private async run(): Promise<void> {
    if (this.running) return;
    const result = byId("result");
    const mode = this.mode;
    const values = this.values(mode);
    const { editor } = this.panels[mode];
    editor.markLine(null);
    const controller = new AbortController();
    this.setRunning(controller);
    try {
      const body = requestOf(mode, values);
      const shown = this.shown(body, editor);
      if (mode === "session") {
        await this.runCell(body, values.code ?? "", shown, controller.signal);
      } else {
        replace(result, h("p", { class: "hint" }, "Running …"));
        const answer = await postJson(PATHS[mode], body, controller.signal);
        this.showAnswer(mode, body, answer, shown);
      }
    } catch (error) {
      const view = controller.signal.aborted ? stoppedView(mode === "session" ? this.sessionId : null) : failureView(error);
      if (mode === "session") result.prepend(view);
      else replace(result, view);
      announce(view.textContent ?? "");
    } finally {
      this.setRunning(null);
    }
  }

  private setRunning(controller: AbortController | null): void {
    this.running = controller;
    byId<HTMLButtonElement>("run").disabled = controller !== null;
    byId<HTMLButtonElement>("stop").disabled = controller === null;
    byId<HTMLButtonElement>("end-session").disabled = this.sessionId === null;
    byId("result").setAttribute("aria-busy", String(controller !== null));
  }

  private shown(body: Body, editor: Editor): Shown {
    const limits: Record<string, number> = {};
    const defaults = member(this.capabilities, "limits_default");
    if (isMap(defaults)) {
      for (const [name, value] of defaults) limits[name] = numberOf(value) ?? 0;
    }
    const item = Array.isArray(body.items) ? (body.items[0] as unknown as Body) : body;
    return {
      limits: { ...limits, ...((item.limits as Record<string, number> | undefined) ?? {}) },
      goTo: (line) => {
        editor.markLine(line);
        editor.goTo(line);
      },
    };
  }

  private showAnswer(mode: Mode, body: Body, answer: Exact, shown: Shown): void {
    const { editor } = this.panels[mode];
    const views: (HTMLElement | null)[] = [];
    let failed: Exact = null;
    let said = "";
    const note = (outcome: Exact, name: string) => {
      said += `${textOf(member(outcome, name)) ?? "no verdict"}. `;
      if (failed === null && numberOf(member(member(outcome, "error"), "line")) !== null) failed = outcome;
    };
    if (mode === "function") {
      const calls = body.calls as Body[];
      listOf(member(answer, "executions")).forEach((execution, at) => {
        views.push(executionView(callText(calls[at], at), execution, shown));
        note(execution, "status");
      });
      views.push(certificateView(member(answer, "certificate")));
    } else if (mode === "program") {
      views.push(compilationView(member(answer, "compilation")));
      listOf(member(answer, "runs")).forEach((run) => {
        views.push(programView("run", run, shown));
        note(run, "status");
      });
    } else {
      listOf(member(answer, "items")).forEach((item) => {
        views.push(itemView(item, shown));
        note(item, "verdict");
        if (failed === null) failed = member(item, "execution");
      });
    }
    replace(byId("result"), ...views, answerFacts(answer));
    editor.markLine(numberOf(member(member(failed, "error"), "line")));
    announce(`Result: ${said}`);
  }

  private async runCell(body: Body, code: string, shown: Shown, signal: AbortSignal): Promise<void> {
    const result = byId("result");
    if (this.sessionId === null) {
      replace(result, h("p", { class: "hint" }, "Starting a session …"));
      const session = await postJson(PATHS.session, body, signal);
      this.sessionId = textOf(member(session, "id"));
      replace(result);
    }
    try {
      const cell = await this.streamedCell(code, signal);
      result.prepend(cellView(code, cell, shown));
      this.panels.session.editor.markLine(numberOf(member(member(cell, "error"), "line")));
      announce(`Result: ${textOf(member(cell, "status"))}`);
      if (member(cell, "session_lost") === true) this.sessionId = null;
    } catch (error) {
      if (error instanceof Failed && error.code === "session_gone") this.sessionId = null;
      throw error;
    }
  }

  /** The whole answer, and until it is there what the cell prints. A request that is not read as a
   * stream would not interrupt its cell when it is stopped. */
  private async streamedCell(code: string, signal: AbortSignal): Promise<Exact> {
    const printed = h("pre", { tabindex: "0", role: "group", "aria-label": "Output so far" });
    const live = h("div", { class: "execution" }, h("p", { class: "hint" }, "Running …"), printed);
    byId("result").prepend(live);
    try {
      for await (const line of lines(`/v1/sessions/${this.sessionId}/run`, { code, stream: true }, signal)) {
        if (member(line, "status") !== null) return line;
        printed.append(textOf(member(line, "stdout")) ?? "", textOf(member(line, "stderr")) ?? "");
      }
    } finally {
      live.remove();
    }
    throw new Failed("The answer ended before the cell did; what became of the cell is not known.", 0, "incomplete", true);
  }

  private async endSession(): Promise<void> {
    if (this.sessionId === null) return;
    const id = this.sessionId;
    this.sessionId = null;
    this.setRunning(null);
    try {
      await send(`/v1/sessions/${id}`, { method: "DELETE" });
      byId("result").prepend(h("p", { class: "notice good" }, "The session has ended; the next cell begins a new one."));
    } catch (error) {
      byId("result").prepend(failureView(error));
    }
  }
}

function callText(call: Body | undefined, at: number): string {
  const value = call?.kwargs ?? call?.args ?? call?.expression ?? "";
  const text = typeof value === "string" ? value : writeExact(value);
  return text.length > 120 ? `call ${at + 1}: ${text.slice(0, 117)}…` : text;
}

function stoppedView(sessionId: string | null): HTMLElement {
  const becomes =
    sessionId === null
      ? "The service ends what it was doing; there is no result."
      : "The service interrupts the cell, as Ctrl-C does. The session keeps its variables, unless the cell goes on for two seconds.";
  return h("p", { class: "notice warn" }, `Stopped. ${becomes}`);
}

/** Whose fault it is that there is no result, in words. */
function failureView(error: unknown): HTMLElement {
  if (error instanceof FieldMistake) return h("p", { class: "notice bad", role: "alert" }, error.message);
  if (error instanceof Failed) {
    const fault = error.status >= 400 && error.status < 500 && error.status !== 429
      ? "The service does not take this request"
      : "The service failed, which says nothing about the code";
    const again = error.retryable ? " It can be sent again." : "";
    return h("p", { class: `notice ${error.retryable ? "warn" : "bad"}`, role: "alert" }, `${fault} (${error.code}): ${error.message}${again}`);
  }
  return h("p", { class: "notice bad", role: "alert" }, `This page failed: ${String(error)}`);
}

async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    announce(`The ${what} is copied.`);
  } catch {
    // Without https the clipboard is closed on some machines: the reader copies by hand.
    const dialog = h("dialog", { "aria-label": `The ${what} to copy` });
    const area = h("textarea", { rows: 6, readonly: true, "aria-label": `The ${what}` });
    area.value = text;
    dialog.append(area, h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Close")));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    area.select();
  }
}

function functionInputs(fields: Fields): HTMLElement[] {
  return [
    fields.area("calls", "Calls, one a line", '{"n": 1} by name, [1, 2] in order, or an expression such as f(1)', 4),
    h("div", { class: "grid" },
      fields.text("entry_point", "Entry point", { placeholder: "main_solution" }),
      fields.select("runs", "Determinism", [["1", "not checked"], ["2", "2 runs"], ["3", "3 runs"], ["5", "5 runs"], ["10", "10 runs"]]),
      fields.tick("complexity", "Check sizes (CodeI/O)"),
      fields.tick("prelude", "LeetCode names (prelude)"),
      fields.select("convert", "Convert", [["none", "JSON only"], ["codeio", "sets, numpy … to JSON"]]),
    ),
    replayNote(fields),
  ];
}

/** Certified outputs to hold this run against; only a record of the Data tab brings them. */
function replayNote(fields: Fields): HTMLElement {
  let value = "";
  const note = h("p", { class: "notice warn", hidden: true }, "The outputs are held against those of the certificate. ");
  const field = {
    read: () => value,
    write: (text: string) => {
      value = text;
      note.hidden = text === "";
    },
  };
  note.append(h("button", { type: "button", onclick: () => field.write("") }, "Do not compare"));
  fields.add("replay", field);
  return note;
}

function programInputs(fields: Fields, editor: Editor): HTMLElement[] {
  const language = fields.select("language", "Language", [["python", "python"], ["bash", "bash"], ["cpp", "cpp"]]);
  const select = language.querySelector("select");
  select?.addEventListener("input", () => editor.setPython(select.value === "python"));
  return [
    h("div", { class: "grid" }, language),
    fields.area("stdin", "Standard input", "what the program reads"),
    fields.area("arguments", "Arguments", "one a line", 2),
    fileInputs(fields),
    fields.text("fetch", "Files to fetch", { placeholder: "*.txt" }),
    fields.area("expected", "Expected output", "left empty, nothing is compared"),
    fields.select("stdout_comparator", "Compared", [["exact", "exactly"], ["trimmed", "but for space at ends of lines"], ["tokens", "word by word"], ["numbers", "numbers within 1e-6"]]),
  ];
}

function fileInputs(fields: Fields): HTMLElement {
  const list = h("div", null);
  const add = (path: string, content: string): void => {
    const name = h("input", { type: "text", value: path, placeholder: "folder/name", spellcheck: "false" });
    const area = h("textarea", { rows: 3, spellcheck: "false" });
    area.value = content;
    const row = h("div", { class: "box" });
    row.append(
      h("label", null, "Path", name),
      h("label", null, "Content", area),
      h("button", { type: "button", onclick: () => (row.remove(), fields.set(fields.values())) }, "Remove this file"),
    );
    list.append(row);
  };
  const read = (): string => {
    const rows = [...list.querySelectorAll(".box")].map((row) => [
      row.querySelector("input")?.value ?? "",
      row.querySelector("textarea")?.value ?? "",
    ]);
    return rows.length ? JSON.stringify(rows) : "";
  };
  fields.add("files", {
    read,
    write: (text) => {
      if (text === read()) return;
      replace(list);
      for (const [path, content] of fileListOf(text)) add(path, content);
    },
  });
  return h("div", null, h("p", { class: "label" }, "Files"), list, h("button", { type: "button", onclick: () => add("", "") }, "Add a file"));
}

function verifyInputs(fields: Fields): HTMLElement[] {
  return [
    h("div", { class: "grid" },
      fields.select("kind", "Predicted is", [["output", "the output"], ["input", "an input"]]),
      fields.select("answer_form", "Given as", [["response", "a model's text"], ["prediction", "JSON"]]),
      fields.select("comparator", "Comparator", [["", "codeio (default)"], ["exact", "exact"], ["tolerance", "tolerance"]]),
      fields.text("entry_point", "Entry point", { placeholder: "main_solution" }),
      fields.tick("prelude", "LeetCode names (prelude)"),
    ),
    fields.area("input", "Input", "JSON; needed for an output unless it is known"),
    fields.area("output", "Output", "JSON; needed for an input"),
    fields.area("answer", "The answer", "the model's whole text, or the bare prediction as JSON", 5),
  ];
}
