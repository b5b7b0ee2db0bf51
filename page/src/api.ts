// Asking this service: the key, the errors, in words. What is asked for is made elsewhere.

import { type Exact, member, readExact, textOf, type Writable, writeExact } from "./exact_json";

const STORED = "execbox-key";
let asking: Promise<void> | null = null;

/** Has the reader type a key; resolves once there is one to try. Set by key.ts. */
export const prompt: { ask: (why: string) => Promise<void> } = { ask: () => Promise.resolve() };

/** Kept for this tab, and gone when it is closed. */
export const key = {
  get: (): string => sessionStorage.getItem(STORED) ?? "",
  set: (value: string): void => {
    if (value) sessionStorage.setItem(STORED, value);
    else sessionStorage.removeItem(STORED);
  },
};

/** No result: whose fault it is stands in the message. */
export class Failed extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly retryable: boolean,
  ) {
    super(message);
  }
}

/** The answer itself, unread. Asks for a key where one is needed. Throws Failed. */
export async function send(path: string, options: RequestInit = {}): Promise<Response> {
  for (;;) {
    const used = key.get();
    const headers = new Headers(options.headers);
    if (used) headers.set("Authorization", `Bearer ${used}`);
    let answer: Response;
    try {
      answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Failed("The service cannot be reached: it has ended, or the network is down.", 0, "unreachable", true);
    }
    if (answer.ok) return answer;
    if (answer.status !== 401) throw await failure(answer);
    await answer.body?.cancel();
    if (key.get() === used) {
      asking ??= prompt
        .ask(used ? "This service does not know that key." : "This service needs an API key.")
        .finally(() => (asking = null));
      await asking;
    }
  }
}

async function failure(answer: Response): Promise<Failed> {
  const text = await answer.text();
  let error: Exact = null;
  try {
    error = member(readExact(text), "error");
  } catch {
    // An answer that is not ours, such as a proxy's.
  }
  return failureOf(error, answer);
}

function failureOf(error: Exact, answer: Response): Failed {
  const message = textOf(member(error, "message"));
  const wait = answer.headers.get("Retry-After");
  return new Failed(
    message ?? `The answer has status ${answer.status} and is not the service's own.`,
    answer.status,
    textOf(member(error, "code")) ?? "unknown",
    member(error, "retryable") === true || wait !== null,
  );
}

/** Throws Failed. */
export async function getJson(path: string): Promise<Exact> {
  return readExact(await (await send(path)).text());
}

/** Throws Failed. */
export async function postJson(path: string, body: Writable, signal?: AbortSignal): Promise<Exact> {
  const answer = await send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: writeExact(body),
    signal: signal ?? null,
  });
  return readExact(await answer.text());
}

/** What comes line by line, with the whole answer as the last line. Throws Failed. */
export async function* lines(path: string, body: Writable, signal: AbortSignal): AsyncGenerator<Exact> {
  const answer = await send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: writeExact(body),
    signal,
  });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n");
    rest = whole.pop() ?? "";
    for (const text of whole) {
      const line = readExact(text);
      // The whole answer has a member of that name, too, and a status beside it.
      if (member(line, "error") !== null && member(line, "status") === null) throw failureOf(member(line, "error"), answer);
      yield line;
    }
  }
}

/** Server-sent events, which EventSource cannot ask for with a key. Ends with the stream. */
export async function* events(
  path: string,
  signal: AbortSignal,
): AsyncGenerator<{ name: string; data: string }> {
  const answer = await send(path, { signal });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const lines = block.split("\n");
      const field = (name: string): string =>
        lines
          .filter((line) => line.startsWith(`${name}: `))
          .map((line) => line.slice(name.length + 2))
          .join("\n");
      yield { name: field("event"), data: field("data") };
    }
  }
}
