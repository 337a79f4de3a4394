// What the network says of the picture: a bar a class, with a mark where it stood before the change.

import { paint, type Colour } from "./colour";
import { by, counted, draw, make } from "./elements";
import { input, now, percent, target, type Score } from "./page";
import type { Arrays, Header } from "./wire";

interface Drawn {
  name: string;
  score: number;
  box: [number, number, number, number]; // left, top, right, bottom
  colour: Colour;
}
interface Part {
  number: number;
  name: string;
  colour: Colour;
  pixels: number;
}

export const tell = (text: string): void => void (by("answer-told").textContent = text);

/** Bars of classes, or a drawing over the picture and its lines. */
export function showSaid(header: Header, arrays: Arrays): void {
  const top = header.top as Score[] | undefined;
  by("bars").hidden = !top;
  by("lines").hidden = !!top;
  by("drawn").replaceChildren();
  if (top) return showBars(top);
  const parts = (header.parts as Part[] | undefined) ?? [];
  showDrawing(header, arrays, by("drawn"), by("mask"), [input()[1], input()[2]]);
  const cell = (text: string): HTMLElement => make("td", {}, text);
  const rows = (header.lines as string[][]).map((line) => make("tr", {}, ...line.map(cell)));
  by("lines").replaceChildren(
    make("caption", { class: "hidden" }, "What the network says"),
    make("thead", {}, make("tr", {}, ...(header.headings as string[]).map((h) => make(h ? "th" : "td", h ? { scope: "col" } : {}, h)))),
    make("tbody", {}, ...rows),
  );
  by("legend").replaceChildren(
    ...parts.map((p) => {
      const swatch = draw("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, draw("rect", { width: 10, height: 10, fill: `rgb(${p.colour.join()})` }));
      return make("li", {}, swatch, `${p.name}: ${counted(p.pixels)} pixels`);
    }),
  );
}

/** Masks and boxes over a picture of (height, width) pixels. */
export function showDrawing(header: Header, arrays: Arrays, drawn: Element, mask: HTMLCanvasElement, [height, width]: [number, number]): void {
  const objects = (header.objects as Drawn[] | undefined) ?? [];
  const parts = (header.parts as Part[] | undefined) ?? [];
  drawn.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const plane = arrays.mask;
  mask.hidden = !plane;
  if (plane) {
    const [rows, columns] = plane.shape as [number, number];
    const colours = new Map(parts.map((p) => [p.number, p.colour]));
    const pixels = new Uint8ClampedArray(rows * columns * 4);
    plane.data.forEach((number, i) => {
      const colour = colours.get(number);
      if (colour) pixels.set([...colour, 150], 4 * i);
    });
    paint(mask, pixels, columns, rows);
  }
  const size = width / 28;
  drawn.replaceChildren(
    ...objects.flatMap(({ name, score, box: [left, top, right, bottom], colour }) => {
      const stroke = `rgb(${colour.join()})`;
      const place = { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
      return [
        draw("rect", { ...place, class: "box-ground" }),
        draw("rect", { ...place, class: "box", stroke }),
        draw("text", { x: left + 1, y: Math.max(size, top - size / 4), "font-size": size, class: "box-name" }, `${name} ${score.toFixed(2)}`),
      ];
    }),
  );
}

export function showBars(scores: Score[]): void {
  by("bars").replaceChildren(...scores.map((s) => barOf(s, now.clean.find((c) => c.class === s.class && c !== s))));
}

export function barOf(s: Score, before?: Score): HTMLElement {
  const filled = draw("rect", { width: Math.max(0, 100 * s.share), height: 10, class: "fill" });
  const marks = before ? [draw("rect", { x: 100 * before.share - 0.4, width: 0.8, height: 10, class: "before" })] : [];
  const track = draw("rect", { width: 100, height: 10, class: "track" });
  const bar = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, track, filled, ...marks);
  return make(
    "div", { role: "option", "data-class": s.class, "aria-selected": String(s.class === target()) },
    make("span", { class: "name" }, s.name), bar, make("span", { class: "share" }, percent(s.share)),
  );
}
