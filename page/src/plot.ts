// Line plots as SVG: a few hundred points, up to three series, told apart by dashes too.

import { h, svg } from "./dom";

export interface Series {
  label: string;
  /** y null: nothing there, and the line has a gap. */
  points: { x: number; y: number | null }[];
}

const WIDTH = 460;
const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 20;
const SPAN_S = 600;

export function plot(title: string, series: Series[], write: (value: number) => string): HTMLElement {
  const values = series.flatMap((each) => each.points.map((point) => point.y ?? 0));
  const top = niceTop(Math.max(0, ...values));
  const end = Math.max(...series.flatMap((each) => each.points.map((point) => point.x)), 0);
  const x = (at: number): number => LEFT + ((at - end + SPAN_S) / SPAN_S) * (WIDTH - LEFT - 6);
  const y = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - 10);
  const lines = series.flatMap((each, at) =>
    runs(each.points).map((run) =>
      svg("polyline", {
        class: `series-${at + 1}`,
        points: run.map((point) => `${x(point.x).toFixed(1)},${y(point.y ?? 0).toFixed(1)}`).join(" "),
      }),
    ),
  );
  const now = series.map((each) => {
    const last = each.points.at(-1)?.y;
    return `${each.label}: ${last === null || last === undefined ? "none" : write(last)}`;
  });
  return h(
    "figure",
    null,
    h("figcaption", null, title),
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} over ten minutes. Now: ${now.join(", ")}.` },
      svg("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: y(0), y2: y(0) }),
      svg("line", { class: "axis", x1: LEFT, x2: WIDTH, y1: y(top), y2: y(top) }),
      svg("text", { x: LEFT - 6, y: y(0) + 4, "text-anchor": "end" }, "0"),
      svg("text", { x: LEFT - 6, y: y(top) + 4, "text-anchor": "end" }, write(top)),
      svg("text", { x: LEFT, y: HEIGHT - 4 }, "10 min ago"),
      svg("text", { x: WIDTH, y: HEIGHT - 4, "text-anchor": "end" }, "now"),
      ...lines,
    ),
    h(
      "ul",
      { class: "legend" },
      ...now.map((text, at) =>
        h("li", null, svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, svg("line", { class: `series-${at + 1}`, x1: 0, x2: 26, y1: 5, y2: 5 })), text),
      ),
    ),
  );
}

function runs(points: Series["points"]): Series["points"][] {
  const found: Series["points"][] = [[]];
  for (const point of points) {
    if (point.y === null) found.push([]);
    else found.at(-1)?.push(point);
  }
  return found
    .filter((run) => run.length > 0)
    // One alone has no line: make it a short one.
    .map((run) => (run.length === 1 ? [{ ...run[0]!, x: run[0]!.x - 2 }, run[0]!] : run));
}

function niceTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= value) ?? value;
}
