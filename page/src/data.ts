// The data tab: a file of records, read in this browser only. Counts, a table, one record whole.

import { announce, byId, h, replace } from "./dom";
import { type Exact, isMap, listOf, member, numberOf, readExact, textOf, writeExact, writePretty } from "./exact_json";
import type { Values } from "./fields";
import type { Asked, Count, Row, Told } from "./record_messages";
import { block, chip, json, table } from "./results";
import type { Shared } from "./share";

const PAGE_SIZE = 25;
const SHOWN_CHARS_MAX = 2_000_000;
const PAIRS_RUN_MAX = 50;

export class DataView {
  private worker: Worker | null = null;
  private counts: Count[] = [];
  private chosen = new Set<number>();
  private found: Uint32Array = new Uint32Array();
  private first = 0;
  private readonly status = h("p", { class: "hint", role: "status" });
  private readonly bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": "How much of the file has been read" });
  private readonly search = h("input", { type: "search", spellcheck: "false" });
  private readonly countsBox = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Counts" });
  private readonly tableBox = h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Records" });
  private readonly recordBox = h("section", { "aria-label": "One record", tabindex: "-1" });
  private readonly found_ = h("section", { "aria-label": "Records", hidden: true });

  constructor(private readonly load: (shared: Shared) => void) {
    const input = h("input", { type: "file", accept: ".jsonl,.ndjson,.gz,.json" });
    input.addEventListener("change", () => {
      const file = input.files?.[0];
      if (file) this.open(file);
    });
    const drop = h(
      "div",
      { class: "drop" },
      h("label", null, "Drop a JSONL file here, or choose one: pairs, answers, verified answers, training records, or what failed (.errors.jsonl). Plain or gzip. ", input),
      h("p", { class: "hint" }, "It is read in this browser and sent nowhere, unless you run one of its records again."),
    );
    for (const name of ["dragenter", "dragover"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.add("over");
      });
    }
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      const file = event.dataTransfer?.files[0];
      if (file) this.open(file);
    });
    let timer = 0;
    this.search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.filter(), 300);
    });
    this.found_.append(
      h("div", { class: "columns" }, this.countsBox, h("div", null, h("label", null, "Records that contain ", this.search), this.tableBox)),
    );
    byId("data").append(drop, this.status, this.bar, this.found_, this.recordBox);
    this.recordBox.hidden = true;
  }

  private open(file: File): void {
    // A new one, whatever the old one is doing.
    this.worker?.terminate();
    this.worker = new Worker("/page/records.js");
    this.worker.onmessage = ({ data }: MessageEvent<Told>) => this.told(data, file.name);
    this.worker.onerror = () => this.told({ kind: "failed", message: "the reader ended" }, file.name);
    this.chosen.clear();
    this.search.value = "";
    this.found_.hidden = this.recordBox.hidden = true;
    this.ask({ kind: "open", file });
  }

  private ask(asked: Asked): void {
    this.worker?.postMessage(asked);
  }

  private told(told: Told, name: string): void {
    if (told.kind === "progress") {
      this.bar.hidden = false;
      this.bar.value = told.size ? told.read / told.size : 1;
      this.status.textContent = `${name}: ${told.doing}, ${told.records} records so far`;
      return;
    }
    this.bar.hidden = true;
    if (told.kind === "opened") {
      this.counts = told.counts;
      this.status.textContent = `${name}: ${told.records} records`;
      this.found_.hidden = false;
      this.filter();
    } else if (told.kind === "filtered") {
      this.found = told.found;
      this.first = 0;
      this.askPage();
      this.showCounts();
    } else if (told.kind === "page") this.showPage(told.rows);
    else if (told.kind === "record") this.showRecord(told.record, told.text);
    else this.status.textContent = `${name} cannot be read: ${told.message}`;
  }

  private filter(): void {
    this.ask({ kind: "filter", facts: [...this.chosen], text: this.search.value });
  }

  private askPage(): void {
    this.ask({ kind: "page", records: [...this.found.subarray(this.first, this.first + PAGE_SIZE)] });
  }

  private showCounts(): void {
    const order = [...new Set(this.counts.map((count) => count.facet))];
    const sorted = [...this.counts].sort((one, other) => order.indexOf(one.facet) - order.indexOf(other.facet) || other.weight - one.weight);
    replace(
      this.countsBox,
      table("Counts of the whole file; choose some to see their records", ["what", "value", "records", "in all"], sorted.map((count) => {
        const pressed = this.chosen.has(count.id);
        const button = h("button", { type: "button", "aria-pressed": String(pressed), class: pressed ? "main" : "" }, count.value);
        button.addEventListener("click", () => {
          if (!this.chosen.delete(count.id)) this.chosen.add(count.id);
          this.filter();
        });
        return [count.facet, button, count.records, count.weight];
      })),
    );
  }

  private showPage(rows: Row[]): void {
    const last = Math.min(this.first + PAGE_SIZE, this.found.length);
    const move = (by: number): void => {
      this.first += by;
      this.askPage();
    };
    const range = this.found.length ? `${this.first + 1} to ${last} of ${this.found.length}` : "none";
    replace(
      this.tableBox,
      table(`Records: ${range}`, ["line", "record", "what it is"], rows.map((row) => {
        const button = h("button", { type: "button", class: "plain" }, row.title || "record");
        button.addEventListener("click", () => this.ask({ kind: "record", record: row.record }));
        return [String(row.record + 1), button, row.facts.join(" · ")];
      })),
      h("div", { class: "actions" },
        h("button", { type: "button", disabled: this.first === 0, onclick: () => move(-PAGE_SIZE) }, "Back"),
        h("button", { type: "button", disabled: last >= this.found.length, onclick: () => move(PAGE_SIZE) }, "Further"),
      ),
    );
    announce(`Records: ${range}`);
  }

  private showRecord(index: number, text: string): void {
    this.recordBox.hidden = false;
    const title = h("h2", null, `Record ${index + 1}`);
    let record: Exact;
    try {
      if (text.length > SHOWN_CHARS_MAX) throw new Error(`it has ${text.length} characters; its beginning is below`);
      record = readExact(text);
    } catch (error) {
      replace(this.recordBox, title, h("p", { class: "notice warn" }, `Not shown in parts: ${(error as Error).message}`), block("Text", text.slice(0, 20_000)));
      this.recordBox.focus();
      return;
    }
    const again = againOf(record);
    const run = h("button", { type: "button", class: "main", disabled: again === null }, "Run this again");
    if (again) run.addEventListener("click", () => this.load(again));
    replace(
      this.recordBox,
      title,
      h("div", { class: "actions" }, run, again ? null : h("span", { class: "hint" }, "This record holds no source, so there is nothing to run.")),
      ...recordParts(record),
      h("details", { class: "box" }, h("summary", null, "The whole record as JSON"), h("pre", { tabindex: "0", role: "group", "aria-label": "Record" }, writePretty(record))),
    );
    this.recordBox.focus();
  }
}

function recordParts(record: Exact): (HTMLElement | null)[] {
  const text = (name: string, title: string): HTMLElement | null => {
    const value = textOf(member(record, name));
    return value ? block(title, value) : null;
  };
  const verdict = textOf(member(record, "verdict")) ?? textOf(member(member(record, "res"), "status"));
  return [
    text("reason", "Reason"),
    text("message", "Message"),
    text("problem_description", "Problem"),
    text("refcode", "Source"),
    pairsPart(record),
    isMap(member(record, "io")) ? block("Pair", json(member(record, "io"))) : null,
    accountPart(record),
    ...conversationParts(record),
    text("output", "The answer"),
    verdict ? h("p", null, "Verdict: ", chip(verdict === "success" ? "correct" : verdict)) : null,
    textOf(member(record, "feedback")) ? text("feedback", "Feedback") : null,
    ...turnParts(record),
    text("outcome", "Outcome"),
  ];
}

/** Each pair, and the certificate that it has: what all have in common, and its own. */
function pairsPart(record: Exact): HTMLElement | null {
  const ios = listOf(member(record, "ios"));
  if (ios.length === 0) return null;
  const own = member(member(record, "meta"), "execbox");
  const common = member(own, "certificate");
  const each = listOf(member(own, "certificates"));
  const shown = ios.slice(0, 200);
  const certificate = (at: number): HTMLElement | string => {
    if (!isMap(common)) return "none";
    const merged = new Map([...common, ...(isMap(each[at]) ? each[at] : [])]);
    return h("details", null, h("summary", null, "certificate"), h("pre", { tabindex: "0", role: "group", "aria-label": `Certificate of pair ${at + 1}` }, json(merged)));
  };
  return h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Pairs" },
    table(`Pairs: ${ios.length}${ios.length > shown.length ? `, the first ${shown.length}` : ""}`, ["input", "output", "certificate"],
      shown.map((pair, at) => [
        h("code", null, writeExact(member(pair, "input"))),
        h("code", null, writeExact(member(pair, "output"))),
        certificate(at),
      ])));
}

function accountPart(record: Exact): HTMLElement | null {
  const meta = member(member(record, "meta"), "execbox");
  const own = isMap(meta) ? meta : member(member(record, "detail"), "execbox");
  const rejected = member(own, "rejected");
  const examples = member(own, "examples");
  if (!isMap(rejected) || rejected.size === 0) return null;
  return h("div", null,
    table(`Rejected draws, of ${numberOf(member(own, "attempts")) ?? "?"}`, ["reason", "draws"], [...rejected].map(([reason, count]) => [reason, numberOf(count) ?? 0])),
    isMap(examples) && examples.size ? h("details", { class: "box" }, h("summary", null, "An example of each"), h("pre", { tabindex: "0", role: "group", "aria-label": "Examples" }, json(examples))) : null);
}

function conversationParts(record: Exact): HTMLElement[] {
  const messages = [...listOf(member(record, "messages")), ...listOf(member(record, "transcript"))];
  const prompt = textOf(member(record, "prompt"));
  return [
    ...(prompt ? [block("Prompt", prompt)] : []),
    ...messages.map((message) => h("div", { class: "turn" }, block(textOf(member(message, "role")) ?? "message", textOf(member(message, "content")) ?? json(message)))),
  ];
}

function turnParts(record: Exact): HTMLElement[] {
  const earlier = listOf(member(record, "turns")).map((turn, at) =>
    h("div", { class: "turn" },
      h("h3", null, `Turn ${at + 1}: `, chip(textOf(member(turn, "verdict")) ?? "no verdict")),
      block("Answer", textOf(member(turn, "response")) ?? ""),
      block("Feedback", textOf(member(turn, "feedback")) ?? "")));
  const assembled: HTMLElement[] = [];
  for (let number = 1; member(record, `turn_${number}`) !== null && number < 100; number++) {
    const feedback = textOf(member(record, `feedback_${number}`));
    assembled.push(h("div", { class: "turn" },
      block(`Turn ${number}`, textOf(member(record, `turn_${number}`)) ?? ""),
      feedback ? block(`Feedback ${number}`, feedback) : null));
  }
  return [...earlier, ...assembled];
}

/** The record as a request: its pairs replayed, or its answer verified. Null where it has no source. */
function againOf(record: Exact): Shared | null {
  const code = textOf(member(record, "refcode"));
  if (!code) return null;
  const own = member(member(record, "meta"), "execbox");
  const values: Values = { code };
  const name = textOf(member(record, "funcname"));
  if (name && name !== "main_solution") values.entry_point = name;
  if ((textOf(member(own, "prelude")) ?? textOf(member(record, "prelude"))) === "codeio") values.prelude = "yes";
  if ((textOf(member(own, "convert")) ?? textOf(member(record, "convert"))) === "codeio") values.convert = "codeio";
  const answer = textOf(member(record, "output"));
  const io = member(record, "io");
  if (answer !== null && isMap(io)) {
    return { mode: "verify", values: {
      ...values,
      kind: textOf(member(record, "io_pred")) === "i" ? "input" : "output",
      input: writeExact(member(io, "input")),
      output: writeExact(member(io, "output")),
      answer,
    } };
  }
  const ios = isMap(io) ? [io] : listOf(member(record, "ios")).slice(0, PAIRS_RUN_MAX);
  if (ios.length === 0) return null;
  const common = member(own, "certificate");
  const each = listOf(member(own, "certificates"));
  const replay = ios.map((pair, at) => ({
    output: member(pair, "output"),
    certificate: isMap(common) ? new Map([...common, ...(isMap(each[at]) ? each[at] : [])]) : null,
  }));
  return { mode: "function", values: {
    ...values,
    calls: ios.map((pair) => writeExact(member(pair, "input"))).join("\n"),
    runs: "2",
    replay: writeExact(replay),
  } };
}
