// A link that carries a request in its fragment, which browsers send to no server. What comes out of
// one is a stranger's: it fills fields, and nothing is run before its reader asks for it.

import type { Values } from "./fields";
import type { Mode } from "./requests";

const MARK = "#run=";
const CHARS_MAX = 4_000_000;
const MODES: readonly Mode[] = ["function", "program", "verify", "session"];

export interface Shared {
  mode: Mode;
  values: Values;
}

export async function linkTo(shared: Shared, address: string): Promise<string> {
  const packed = await through(
    new Blob([JSON.stringify({ v: 1, ...shared })]),
    new CompressionStream("deflate-raw"),
  );
  let binary = "";
  for (const byte of new Uint8Array(await packed.arrayBuffer())) binary += String.fromCharCode(byte);
  const text = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return `${address.split("#")[0]}${MARK}${text}`;
}

/** Null where the fragment carries no request. Throws Error where it carries a broken one. */
export async function sharedIn(fragment: string): Promise<Shared | null> {
  if (!fragment.startsWith(MARK)) return null;
  const text = fragment.slice(MARK.length).replaceAll("-", "+").replaceAll("_", "/");
  let value: unknown;
  try {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = await through(new Blob([bytes]), new DecompressionStream("deflate-raw"));
    value = JSON.parse(await stream.text());
  } catch {
    throw new Error("This link is damaged: what follows # is no request. Nothing was filled in.");
  }
  const { mode, values } = (value ?? {}) as Partial<Shared>;
  if (!MODES.includes(mode as Mode) || typeof values !== "object" || values === null) {
    throw new Error("This link is of another version, or none of ours. Nothing was filled in.");
  }
  const kept = Object.entries(values).filter(([, each]) => typeof each === "string");
  return { mode: mode as Mode, values: Object.fromEntries(kept) };
}

async function through(blob: Blob, stream: CompressionStream | DecompressionStream): Promise<Blob> {
  const reader = blob.stream().pipeThrough(stream).getReader();
  const parts: BlobPart[] = [];
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return new Blob(parts);
    size += value.length;
    // A few kilobytes can unpack to gigabytes.
    if (size > CHARS_MAX) throw new Error("too large");
    parts.push(value);
  }
}
