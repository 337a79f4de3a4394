// One chart: a class's probability along a slider.

import { draw } from "./elements";
import type { Slider } from "./state";

const [LEFT, RIGHT, TOP, BOTTOM] = [44, 350, 12, 162];

/** points: pairs of (slider, probability). now: where the slider stands. */
export function chart(figure: HTMLElement, points: ArrayLike<number>, slider: Slider, now: number, name: string): void {
  const x = (v: number): number => LEFT + ((v - slider.low) / (slider.high - slider.low)) * (RIGHT - LEFT);
  const y = (v: number): number => BOTTOM - v * (BOTTOM - TOP);
  const pairs: [number, number][] = [];
  for (let i = 0; i + 1 < points.length; i += 2) pairs.push([points[i]!, points[i + 1]!]);
  const line = pairs.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
  const svg = figure.querySelector("svg")!;
  const label = `Probability of ${name} along ${slider.label.toLowerCase()}`;
  svg.setAttribute("aria-label", `${label}: ${pairs.map(([a, b]) => `${slider.unit(a)}: ${(100 * b).toFixed(0)} %`).join("; ")}`);
  svg.replaceChildren(
    ...[0, 0.5, 1].flatMap((v) => [
      draw("line", { x1: LEFT, x2: RIGHT, y1: y(v), y2: y(v), class: "rule" }),
      draw("text", { x: LEFT - 6, y: y(v) + 4, class: "tick end" }, `${100 * v} %`),
    ]),
    ...[slider.low, (slider.low + slider.high) / 2, slider.high].map((v, i) =>
      draw("text", { x: x(v), y: BOTTOM + 18, class: `tick ${["start", "mid", "end"][i]}` }, slider.unit(v)),
    ),
    draw("text", { x: (LEFT + RIGHT) / 2, y: BOTTOM + 34, class: "tick mid" }, slider.label),
    draw("line", { x1: x(now), x2: x(now), y1: TOP, y2: BOTTOM, class: "now" }),
    draw("path", { d: line, class: "curve" }),
    ...pairs.map(([a, b]) => draw("circle", { cx: x(a), cy: y(b), r: 2.2, class: "point" })),
  );
  figure.querySelector("figcaption")!.textContent = `Probability of “${name}”, as it is drawn; the line marks where the slider stands.`;
}
