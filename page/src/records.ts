// The worker that reads a file of records: in slices, so that its size matters to nobody. It keeps
// where each line is and what it counts for, and reads a line again when it is to be seen.

import { type Exact, Num, readExact } from "./exact_json";
import { describe, type Fact, type Plain } from "./record_facts";
import type { Asked, Count, Row, Told } from "./record_messages";

const SLICE_BYTES = 4 * 1024 * 1024;
const LINE_BYTES_MAX = 64 * 1024 * 1024;
const NEWLINE = 10;

interface Line {
  begin: number;
  bytes: Uint8Array;
}

class Numbers {
  private all = new Float64Array(1024);
  length = 0;
  push(value: number): void {
    if (this.length === this.all.length) {
      const larger = new Float64Array(this.length * 2);
      larger.set(this.all);
      this.all = larger;
    }
    this.all[this.length++] = value;
  }
  at(index: number): number {
    return this.all[index] ?? 0;
  }
}

let file: Blob = new Blob();
let begins = new Numbers();
let ends = new Numbers();
let factBegins = new Numbers();
let facts = new Numbers();
let counts: Count[] = [];
let factIds = new Map<string, number>();
/** A newer request makes an older one stop. */
let newest = 0;
const decoder = new TextDecoder("utf-8", { fatal: true });

const tell = (told: Told): void => postMessage(told);

self.onmessage = ({ data }: MessageEvent<Asked>): void => {
  const work = { open, filter, page, record }[data.kind] as (asked: Asked) => Promise<void>;
  work(data).catch((error: unknown) => tell({ kind: "failed", message: error instanceof Error ? error.message : String(error) }));
};

/** Every line of the file, with where it begins; false from ``each`` stops. */
async function eachLine(each: (line: Line) => boolean, progress: (read: number) => void): Promise<void> {
  let rest = new Uint8Array();
  let restBegin = 0;
  for (let at = 0; at < file.size; at += SLICE_BYTES) {
    const slice = new Uint8Array(await file.slice(at, at + SLICE_BYTES).arrayBuffer());
    let from = 0;
    for (;;) {
      const end = slice.indexOf(NEWLINE, from);
      if (end < 0) break;
      const part = slice.subarray(from, end);
      const line = rest.length
        ? { begin: restBegin, bytes: joined(rest, part) }
        : { begin: at + from, bytes: part };
      rest = new Uint8Array();
      if (!each(line)) return;
      from = end + 1;
    }
    const left = slice.subarray(from);
    if (left.length) {
      if (!rest.length) restBegin = at + from;
      rest = joined(rest, left);
      if (rest.length > LINE_BYTES_MAX) throw new Error(`A line is longer than ${LINE_BYTES_MAX / 1024 / 1024} MiB: this is no JSONL.`);
    }
    progress(Math.min(at + SLICE_BYTES, file.size));
  }
  if (rest.length) each({ begin: restBegin, bytes: rest });
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

function plain(value: Exact): Plain {
  if (value instanceof Num) return Number(value.text);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, each]) => [name, plain(each)]));
  return value;
}

function parsed(bytes: Uint8Array): { title: string; facts: Fact[] } {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return { title: "not UTF-8", facts: [{ facet: "kind", value: "not UTF-8", weight: 1 }] };
  }
  try {
    return describe(JSON.parse(text) as Plain);
  } catch {
    // Python writes NaN and Infinity, which JavaScript does not read.
  }
  try {
    return describe(plain(readExact(text)));
  } catch (error) {
    return { title: String((error as Error).message), facts: [{ facet: "kind", value: "not JSON", weight: 1 }] };
  }
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 32 || byte === 9 || byte === 13);
}

async function open(asked: Extract<Asked, { kind: "open" }>): Promise<void> {
  const number = ++newest;
  begins = new Numbers();
  ends = new Numbers();
  factBegins = new Numbers();
  facts = new Numbers();
  counts = [];
  factIds = new Map();
  file = asked.file;
  const head = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (head[0] === 0x1f && head[1] === 0x8b) {
    tell({ kind: "progress", read: 0, size: file.size, records: 0, doing: "unpacking" });
    file = await new Response(file.stream().pipeThrough(new DecompressionStream("gzip"))).blob();
  }
  await eachLine(
    ({ begin, bytes }) => {
      if (begin === 0 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
        bytes = bytes.subarray(3);
        begin = 3;
      }
      if (!isBlank(bytes)) add(begin, bytes);
      return number === newest;
    },
    (read) => number === newest && tell({ kind: "progress", read, size: file.size, records: begins.length, doing: "reading" }),
  );
  factBegins.push(facts.length);
  if (number === newest) tell({ kind: "opened", records: begins.length, counts });
}

function add(begin: number, bytes: Uint8Array): void {
  begins.push(begin);
  ends.push(begin + bytes.length);
  factBegins.push(facts.length);
  for (const { facet, value, weight } of parsed(bytes).facts) {
    const name = `${facet}\n${value}`;
    let id = factIds.get(name);
    if (id === undefined) {
      // A file that counts everything for something else would fill the memory with counts.
      if (counts.length >= 2000) continue;
      id = counts.length;
      factIds.set(name, id);
      counts.push({ id, facet, value, records: 0, weight: 0 });
    }
    const count = counts[id]!;
    count.records += 1;
    count.weight += weight;
    facts.push(id);
  }
}

function has(record: number, wanted: number[]): boolean {
  const own: number[] = [];
  for (let at = factBegins.at(record); at < factBegins.at(record + 1); at++) own.push(facts.at(at));
  return wanted.every((id) => own.includes(id));
}

async function filter(asked: Extract<Asked, { kind: "filter" }>): Promise<void> {
  const number = ++newest;
  const found: number[] = [];
  if (asked.text === "") {
    for (let record = 0; record < begins.length; record++) if (has(record, asked.facts)) found.push(record);
  } else {
    const wanted = asked.text.toLowerCase();
    const loose = new TextDecoder();
    let record = 0;
    await eachLine(
      ({ bytes }) => {
        if (isBlank(bytes)) return number === newest;
        if (has(record, asked.facts) && loose.decode(bytes).toLowerCase().includes(wanted)) found.push(record);
        record += 1;
        return number === newest;
      },
      (read) => number === newest && tell({ kind: "progress", read, size: file.size, records: found.length, doing: "searching" }),
    );
  }
  if (number === newest) tell({ kind: "filtered", found: Uint32Array.from(found) });
}

async function bytesOf(record: number): Promise<Uint8Array> {
  return new Uint8Array(await file.slice(begins.at(record), ends.at(record)).arrayBuffer());
}

async function page(asked: Extract<Asked, { kind: "page" }>): Promise<void> {
  const rows: Row[] = [];
  for (const record of asked.records) {
    const { title, facts: own } = parsed(await bytesOf(record));
    rows.push({ record, title, facts: own.map(({ facet, value }) => (facet === "pairs" ? "" : `${facet}: ${value}`)).filter(Boolean) });
  }
  tell({ kind: "page", rows });
}

async function record(asked: Extract<Asked, { kind: "record" }>): Promise<void> {
  tell({ kind: "record", record: asked.record, text: new TextDecoder().decode(await bytesOf(asked.record)) });
}
