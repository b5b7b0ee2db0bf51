// The live numbers: a stream of readings, as tiles, plots and tables. Holds ten minutes, as the
// service does.

import { events, Failed } from "./api";
import { byId, h, replace } from "./dom";
import { plot, type Series } from "./plot";
import { chip, seconds, table } from "./results";

interface Latency {
  count: number;
  p50_s: number | null;
  p95_s: number | null;
  p99_s: number | null;
}
interface Sample {
  time_s: number;
  slots: number;
  slots_active: number;
  waiting: number;
  warm: number;
  idle: number;
  leased: number;
  made: number;
  destroyed: number;
  failed: number;
  statuses: Record<string, number>;
  requests: Latency;
  executions: Latency;
  queue: Latency;
}
interface State {
  ready: boolean;
  reason: string | null;
  kept_s: number;
  statuses: Record<string, number>;
  requests: Latency;
  executions: Latency;
  queue: Latency;
  made: number;
  made_in_all: number;
  failed_in_all: number;
}
interface Queue {
  key: string;
  waiting: number;
  running: number;
}
interface Now {
  samples: Sample[];
  state: State | null;
  keys: Queue[];
  others: { waiting: number; running: number };
  every_key: boolean;
  key: string;
}

const KEPT_S = 600;
const AGAIN_MS = 3000;

export class LiveView {
  private samples: Sample[] = [];
  private intervalS = 2;
  private stop: AbortController | null = null;
  private readonly readiness = h("p", { class: "notice", role: "status" });
  private readonly tiles = h("dl", { class: "tiles" });
  private readonly charts = h("div", { class: "charts" });
  private readonly tables = h("div", { class: "charts" });

  constructor() {
    const pause = h("button", { type: "button" }, "Pause");
    pause.addEventListener("click", () => {
      if (this.stop) this.end();
      else this.begin();
      pause.textContent = this.stop ? "Pause" : "Go on";
    });
    byId("live").append(
      h("div", { class: "bar" }, h("h2", null, "The last ten minutes"), pause),
      this.readiness,
      this.tiles,
      this.charts,
      this.tables,
    );
  }

  begin(): void {
    if (this.stop) return;
    const stop = new AbortController();
    this.stop = stop;
    void this.follow(stop.signal);
  }

  end(): void {
    this.stop?.abort();
    this.stop = null;
  }

  private async follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const event of events("/page/live", signal)) this.take(event);
        this.say("warn", "The service ended the stream; asking again …");
      } catch (error) {
        if (signal.aborted) return;
        const why = error instanceof Failed ? error.message : String(error);
        this.say("bad", `No numbers: ${why} Asking again …`);
      }
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  private take(event: { name: string; data: string }): void {
    if (event.name === "history") {
      const history = JSON.parse(event.data) as { interval_s: number; samples: Sample[] };
      this.samples = history.samples;
      this.intervalS = history.interval_s;
    } else if (event.name === "now") {
      this.show(JSON.parse(event.data) as Now);
    }
  }

  private say(kind: string, text: string): void {
    const last = this.readiness.textContent;
    this.readiness.className = `notice ${kind}`;
    // Said again it would be read aloud again.
    if (last !== text) this.readiness.textContent = text;
  }

  private show(now: Now): void {
    this.samples.push(...now.samples);
    const newest = this.samples.at(-1);
    if (!newest) return this.say("warn", "The service has begun to read its numbers; the first come in two seconds.");
    this.samples = this.samples.filter((sample) => newest.time_s - sample.time_s <= KEPT_S);
    const { state } = now;
    if (state?.ready) this.say("good", "Ready: executions can run.");
    else this.say("bad", `Not ready, so nothing can run: ${state?.reason ?? "the service does not say why"}`);
    this.showTiles(newest, state);
    this.showCharts();
    this.showTables(now);
  }

  private showTiles(newest: Sample, state: State | null): void {
    const tile = (name: string, value: string, more = ""): HTMLElement =>
      h("div", { class: "tile" }, h("dt", null, name), h("dd", null, value, more ? h("small", null, more) : null));
    const ended = Object.values(newest.statuses).reduce((sum, count) => sum + count, 0);
    replace(
      this.tiles,
      tile("Slots in use", `${newest.slots_active} of ${newest.slots}`),
      tile("Waiting for a slot", String(newest.waiting)),
      tile("Executions a second", (ended / this.intervalS).toFixed(1)),
      tile("Containers ready", String(newest.warm), `${newest.leased} in use, ${newest.idle} kept for their key`),
      tile("Containers made", String(state?.made ?? 0), `${state?.made_in_all ?? 0} since the start, ${state?.failed_in_all ?? 0} failed`),
      tile("Request, median", time(state?.requests.p50_s), `p95 ${time(state?.requests.p95_s)}, p99 ${time(state?.requests.p99_s)}`),
    );
  }

  private showCharts(): void {
    const perS = (value: number): number => value / this.intervalS;
    const of = (label: string, value: (sample: Sample) => number | null): Series => ({
      label,
      points: this.samples.map((sample) => ({ x: sample.time_s, y: value(sample) })),
    });
    const sum = (statuses: Record<string, number>): number =>
      Object.values(statuses).reduce((total, count) => total + count, 0);
    replace(
      this.charts,
      plot("Slots and queue", [of("slots in use", (s) => s.slots_active), of("waiting", (s) => s.waiting)], count),
      plot(
        "Executions a second",
        [of("ok", (s) => perS(s.statuses.ok ?? 0)), of("any other status", (s) => perS(sum(s.statuses) - (s.statuses.ok ?? 0)))],
        count,
      ),
      plot("Request latency", [of("p50", (s) => s.requests.p50_s), of("p95", (s) => s.requests.p95_s)], seconds),
      plot("Pool", [of("ready", (s) => s.warm), of("in use", (s) => s.leased), of("kept for their key", (s) => s.idle)], count),
      plot("Containers made a second", [of("made", (s) => perS(s.made)), of("failed", (s) => perS(s.failed))], count),
    );
  }

  private showTables(now: Now): void {
    const statuses = Object.entries(now.state?.statuses ?? {}).sort(([, one], [, other]) => other - one);
    const total = statuses.reduce((sum, [, each]) => sum + each, 0);
    const latency = (name: string, each: Latency | undefined) => [name, each?.count ?? 0, time(each?.p50_s), time(each?.p95_s), time(each?.p99_s)];
    const rows = now.keys.map((each) => [each.key === now.key ? `${each.key} (yours)` : each.key, each.running, each.waiting]);
    if (!now.every_key && (now.others.running || now.others.waiting)) rows.push(["all other keys", now.others.running, now.others.waiting]);
    replace(
      this.tables,
      h("div", { class: "card" }, statuses.length
        ? table("Executions by status", ["status", "executions", "share"], statuses.map(([status, each]) => [chip(status), each, `${((each / total) * 100).toFixed(1)} %`]))
        : h("p", { class: "hint" }, "No execution ended in this time.")),
      h("div", { class: "card" }, table("Latency, estimated from the buckets of /metrics", ["of", "count", "p50", "p95", "p99"], [
        latency("requests", now.state?.requests),
        latency("executions", now.state?.executions),
        latency("waiting for a slot", now.state?.queue),
      ])),
      h("div", { class: "card" },
        rows.length
          ? table("Queue by key, now", ["key", "running", "waiting"], rows)
          : h("p", { class: "hint" }, "No key has anything running or waiting."),
        now.every_key ? null : h("p", { class: "hint" }, "You see your own key. The operator can show a key all of them: EXECBOX_LIVE_KEYS.")),
    );
  }
}

function time(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : seconds(value);
}

function count(value: number): string {
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}
