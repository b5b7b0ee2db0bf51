// What the page asks of the worker that reads a file, and what it is told.

export type Asked =
  | { kind: "open"; file: Blob }
  | { kind: "filter"; facts: number[]; text: string }
  | { kind: "page"; records: number[] }
  | { kind: "record"; record: number };

export interface Count {
  id: number;
  facet: string;
  value: string;
  records: number;
  weight: number;
}

export interface Row {
  record: number;
  title: string;
  facts: string[];
}

export type Told =
  | { kind: "progress"; read: number; size: number; records: number; doing: string }
  | { kind: "opened"; records: number; counts: Count[] }
  | { kind: "filtered"; found: Uint32Array }
  | { kind: "page"; rows: Row[] }
  | { kind: "record"; record: number; text: string }
  | { kind: "failed"; message: string };
