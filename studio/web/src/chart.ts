// Charts: curves along one number, drawn by hand, each with its words for who does not see it.

import { draw } from "./elements";
import type { Slider } from "./state";

const [LEFT, RIGHT, TOP, BOTTOM] = [44, 350, 12, 162];

export interface Curve {
  name: string;
  points: [number, number][];
  band?: [number, number][]; // low and high of each point
  kind?: string; // of the style: "", "second", "third"
}
export interface Along {
  label: string;
  low: number;
  high: number;
  unit: (v: number) => string;
  counted?: boolean; // whole numbers alone, such as epochs
  most?: number; // of what is drawn; 1 and in percent if not given
}

/** Where numbers stand beneath: at both ends and in the middle, of what is counted at a whole number. */
function ends({ low, high, counted }: Along): [number, string][] {
  const half = (low + high) / 2;
  const middle = counted ? Math.round(half) : half;
  const inside = middle > low && middle < high;
  return [[low, "start"], ...(inside ? [[middle, "mid"] as [number, string]] : []), ...(high > low ? [[high, "end"] as [number, string]] : [])];
}

type Picked = (value: number) => void;

/** Curves of shares, from 0 to 1. now: a line where something stands. picked: a point was clicked or entered. */
export function curves(svg: SVGSVGElement, all: Curve[], along: Along, words: string, now: number | null, picked?: Picked): void {
  const x = (v: number): number => LEFT + ((v - along.low) / (along.high - along.low || 1)) * (RIGHT - LEFT);
  const most = along.most ?? 1;
  const show = (v: number): string => (along.most === undefined ? `${(100 * v).toFixed(0)} %` : String(Number(v.toPrecision(3))));
  const y = (v: number): number => BOTTOM - (Math.min(v, most) / most) * (BOTTOM - TOP);
  const path = (pairs: [number, number][]): string => pairs.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
  const told = (c: Curve): string => `${all.length > 1 ? `${c.name}: ` : ""}${c.points.map(([a, b]) => `${along.unit(a)}: ${show(b)}`).join("; ")}`;
  svg.setAttribute("aria-label", `${words}: ${all.map(told).join(". ")}`);
  const marks: SVGElement[] = [
    ...[0, most / 2, most].flatMap((v) => [
      draw("line", { x1: LEFT, x2: RIGHT, y1: y(v), y2: y(v), class: "rule" }), draw("text", { x: LEFT - 6, y: y(v) + 4, class: "tick end" }, show(v)),
    ]),
    ...ends(along).map(([v, at]) => draw("text", { x: x(v), y: BOTTOM + 18, class: `tick ${at}` }, along.unit(v))),
    draw("text", { x: (LEFT + RIGHT) / 2, y: BOTTOM + 34, class: "tick mid" }, along.label),
  ];
  if (now !== null) marks.push(draw("line", { x1: x(now), x2: x(now), y1: TOP, y2: BOTTOM, class: "now" }));
  for (const c of all) {
    if (c.band) {
      const upper = c.points.map(([a], i): [number, number] => [a, c.band![i]![1]]);
      const lower = c.points.map(([a], i): [number, number] => [a, c.band![i]![0]]).reverse();
      marks.push(draw("path", { d: `${path(upper)}L${path(lower).slice(1)}Z`, class: `band ${c.kind ?? ""}` }));
    }
    marks.push(draw("path", { d: path(c.points), class: `curve ${c.kind ?? ""}` }), ...c.points.map(([a, b]) => draw("circle", { cx: x(a), cy: y(b), r: 2.2, class: `point ${c.kind ?? ""}` })));
  }
  if (picked && all[0]) {
    for (const [a, b] of all[0].points) {
      const hit = draw("circle", { cx: x(a), cy: y(b), r: 9, class: "hit", "data-value": a });
      hit.addEventListener("click", () => picked(a));
      marks.push(hit);
    }
  }
  svg.replaceChildren(...marks);
}

/** points: pairs of (slider, probability). now: where the slider stands. */
export function chart(figure: HTMLElement, points: ArrayLike<number>, slider: Slider, now: number, name: string): void {
  const pairs: [number, number][] = [];
  for (let i = 0; i + 1 < points.length; i += 2) pairs.push([points[i]!, points[i + 1]!]);
  curves(figure.querySelector("svg")!, [{ name, points: pairs }], slider, `Probability of ${name} along ${slider.label.toLowerCase()}`, now);
  figure.querySelector("figcaption")!.textContent = `Probability of “${name}”, as it is drawn; the line marks where the slider stands.`;
}
