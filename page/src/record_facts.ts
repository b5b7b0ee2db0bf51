// What a record is, and what it counts for: pairs, answers, training records, failures. Pure.

export type Plain = null | boolean | number | string | Plain[] | { [name: string]: Plain };
export interface Fact {
  facet: string;
  value: string;
  /** How many it stands for, where one record has several, such as rejected draws. */
  weight: number;
}
export interface Described {
  title: string;
  facts: Fact[];
}

type Members = { [name: string]: Plain };

const VERDICTS: Record<string, string> = { success: "correct", failed: "incorrect", "no answer": "no_answer" };

export function describe(value: Plain): Described {
  const record = members(value);
  if (record === null) return { title: "no object", facts: [fact("kind", "not an object")] };
  const verdict = verdictOf(record);
  const kind = kindOf(record, verdict);
  return { title: titleOf(record), facts: [fact("kind", kind), ...FACTS[kind]!(record, verdict)] };
}

function kindOf(record: Members, verdict: string | null): string {
  if (typeof record.reason === "string" && typeof record.message === "string") return "failure";
  if ("turn_1" in record || "outcome" in record) return "training record";
  if (typeof record.ended === "string" && "transcript" in record) return "interpreted";
  if (verdict !== null) return "verified answer";
  if (typeof record.output === "string" && "messages" in record) return "answer";
  if (Array.isArray(record.ios)) return "function with pairs";
  if ("messages" in record) return "question";
  if (typeof record.refcode === "string") return "function";
  return "other";
}

const FACTS: Record<string, (record: Members, verdict: string | null) => Fact[]> = {
  failure: (record) => [fact("reason", String(record.reason)), ...accountFacts(ownMeta(record))],
  "training record": (record) => [
    ...textFact("outcome", record.outcome),
    fact("turns", String(turnCount(record))),
    ...askedFacts(record),
  ],
  interpreted: (record, verdict) => [
    fact("ended", String(record.ended)),
    ...(verdict === null ? [] : [fact("verdict", verdict)]),
  ],
  "verified answer": (record, verdict) => [
    fact("verdict", verdict ?? ""),
    ...askedFacts(record),
    fact("turns", String((Array.isArray(record.turns) ? record.turns.length : 0) + 1)),
  ],
  answer: (record) => [...askedFacts(record), ...textFact("finish_reason", record.finish_reason)],
  "function with pairs": (record) => {
    const own = ownMeta(record);
    const pairs = Array.isArray(record.ios) ? record.ios.length : 0;
    return [
      { facet: "pairs", value: "in all", weight: pairs },
      fact("certified", own.certificate ? "yes" : "no"),
      ...accountFacts(own),
    ];
  },
  question: (record) => askedFacts(record),
  function: () => [],
  other: () => [],
};

function accountFacts(own: Members): Fact[] {
  const facts = textFact("stopped", own.stopped);
  for (const [reason, count] of Object.entries(members(own.rejected) ?? {})) {
    if (typeof count === "number" && count > 0) facts.push({ facet: "rejected", value: reason, weight: count });
  }
  const causes = new Set([members(members(own.examples)?.non_deterministic)?.cause]);
  for (const group of ["corrected", "dropped"]) {
    const counts = new Map<string, number>();
    for (const entry of list(own[group]).map(members)) {
      causes.add(entry?.cause);
      if (typeof entry?.reason === "string") counts.set(entry.reason, (counts.get(entry.reason) ?? 0) + 1);
    }
    for (const [reason, count] of counts) facts.push({ facet: `pairs ${group}`, value: reason, weight: count });
  }
  return [...facts, ...[...causes].flatMap((cause) => textFact("cause of non-determinism", cause))];
}

function askedFacts(record: Members): Fact[] {
  const asked = record.io_pred;
  if (asked !== "i" && asked !== "o") return [];
  return [fact("asked for", asked === "i" ? "the input" : "the output")];
}

function turnCount(record: Members): number {
  return Object.keys(record).filter((name) => /^turn_\d+$/.test(name) && record[name] !== null).length;
}

export function ownMeta(record: Members): Members {
  return members(members(record.meta)?.execbox) ?? members(members(record.detail)?.execbox) ?? {};
}

function verdictOf(record: Members): string | null {
  const status = members(record.res)?.status;
  // The status counts where both are there: CodeI/O's scripts write it alone.
  if (typeof status === "string") return VERDICTS[status] ?? status;
  return typeof record.verdict === "string" ? record.verdict : null;
}

function titleOf(record: Members): string {
  for (const name of ["id", "problem_description", "question", "message", "prompt", "refcode"]) {
    const value = record[name];
    if (typeof value === "string" && value.trim()) return value.trim().replace(/\s+/g, " ").slice(0, 120);
    if (typeof value === "number") return String(value);
  }
  const numbers = ["itemid", "ioid"].filter((name) => name in record).map((name) => `${name} ${String(record[name])}`);
  return numbers.join(", ") || Object.keys(record).slice(0, 6).join(", ");
}

function textFact(facet: string, value: Plain | undefined): Fact[] {
  return typeof value === "string" && value ? [fact(facet, value)] : [];
}

function fact(facet: string, value: string): Fact {
  return { facet, value, weight: 1 };
}

function list(value: Plain | undefined): Plain[] {
  return Array.isArray(value) ? value : [];
}

export function members(value: Plain | undefined): Members | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : null;
}
