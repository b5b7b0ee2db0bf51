// JSON as it is written. JavaScript's own reader makes 1.0 to 1, rounds large integers, and puts
// members named "2" before "b": what functions return is shown and sent as it is.

/** A number with its own text. */
export class Num {
  constructor(readonly text: string) {}
}

export type Exact = null | boolean | string | Num | Exact[] | Map<string, Exact>;
/** What can be written besides: values made here, and those read above, mixed. */
export type Writable =
  | Exact
  | number
  | undefined
  | readonly Writable[]
  | ReadonlyMap<string, Writable>
  | { readonly [name: string]: Writable };

const DEPTH_MAX = 200;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORDS: readonly [string, Exact][] = [
  ["null", null],
  ["true", true],
  ["false", false],
  // What Python's json writes; the service says whether it takes them.
  ["NaN", new Num("NaN")],
  ["Infinity", new Num("Infinity")],
  ["-Infinity", new Num("-Infinity")],
];

class Reader {
  private at = 0;
  constructor(private readonly text: string) {}

  whole(): Exact {
    const value = this.value(0);
    this.space();
    if (this.at < this.text.length) this.fail("something follows the value");
    return value;
  }

  private value(depth: number): Exact {
    if (depth > DEPTH_MAX) this.fail(`it is nested deeper than ${DEPTH_MAX} levels`);
    this.space();
    const first = this.text[this.at];
    if (first === "{") return this.object(depth);
    if (first === "[") return this.array(depth);
    if (first === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    NUMBER.lastIndex = this.at;
    const number = NUMBER.exec(this.text);
    if (number === null) this.fail(first === undefined ? "it ends too early" : "no value is here");
    this.at += number[0].length;
    return new Num(number[0]);
  }

  private object(depth: number): Map<string, Exact> {
    const members = new Map<string, Exact>();
    this.at += 1;
    this.space();
    if (this.take("}")) return members;
    do {
      this.space();
      if (this.text[this.at] !== '"') this.fail("a member's name in double quotes is missing");
      const name = this.string();
      this.space();
      if (!this.take(":")) this.fail("a colon is missing");
      members.set(name, this.value(depth + 1));
      this.space();
    } while (this.take(","));
    if (!this.take("}")) this.fail("a comma or } is missing");
    return members;
  }

  private array(depth: number): Exact[] {
    const values: Exact[] = [];
    this.at += 1;
    this.space();
    if (this.take("]")) return values;
    do {
      values.push(this.value(depth + 1));
      this.space();
    } while (this.take(","));
    if (!this.take("]")) this.fail("a comma or ] is missing");
    return values;
  }

  private string(): string {
    const begin = this.at;
    let at = begin + 1;
    while (at < this.text.length && this.text[at] !== '"') at += this.text[at] === "\\" ? 2 : 1;
    this.at = at + 1;
    try {
      return JSON.parse(this.text.slice(begin, at + 1)) as string;
    } catch {
      this.at = begin;
      return this.fail("a string that does not end, or has an escape or character it may not have");
    }
  }

  private space(): void {
    while (" \t\n\r".includes(this.text[this.at] ?? "x")) this.at += 1;
  }

  private take(character: string): boolean {
    if (this.text[this.at] !== character) return false;
    this.at += 1;
    return true;
  }

  private fail(why: string): never {
    const before = this.text.slice(0, this.at).split("\n");
    const column = (before.at(-1)?.length ?? 0) + 1;
    throw new SyntaxError(`${why} (line ${before.length}, column ${column})`);
  }
}

/** Throws SyntaxError, with line and column. */
export function readExact(text: string): Exact {
  return new Reader(text).whole();
}

export function isMap(value: unknown): value is Map<string, Exact> {
  return value instanceof Map;
}

/** The member of an object, or null where there is none. */
export function member(value: Exact | undefined, name: string): Exact {
  return value instanceof Map ? (value.get(name) ?? null) : null;
}

export function textOf(value: Exact | undefined): string | null {
  return typeof value === "string" ? value : null;
}

export function listOf(value: Exact | undefined): Exact[] {
  return Array.isArray(value) ? value : [];
}

export function numberOf(value: Exact | undefined): number | null {
  return value instanceof Num ? Number(value.text) : null;
}

function members(value: object): [string, Writable][] {
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return entries.filter(([, inner]) => inner !== undefined) as [string, Writable][];
}

/** One line; members that are undefined are left out. */
export function writeExact(value: Writable): string {
  if (value instanceof Num) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(writeExact).join(", ")}]`;
  const inner = members(value).map(([name, each]) => `${JSON.stringify(name)}: ${writeExact(each)}`);
  return `{${inner.join(", ")}}`;
}

/** Several lines where one would be long. */
export function writePretty(value: Writable, indent = "", width = 88): string {
  const line = writeExact(value);
  if (line.length + indent.length <= width || value === null || typeof value !== "object") {
    return line;
  }
  const deeper = `${indent}  `;
  if (value instanceof Num) return line;
  if (Array.isArray(value)) {
    const parts = value.map((each: Writable) => deeper + writePretty(each, deeper, width));
    return `[\n${parts.join(",\n")}\n${indent}]`;
  }
  const parts = members(value).map(
    ([name, each]) => `${deeper}${JSON.stringify(name)}: ${writePretty(each, deeper, width)}`,
  );
  return `{\n${parts.join(",\n")}\n${indent}}`;
}
