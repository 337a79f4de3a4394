// The network from the picture to the answer: a block a layer, the maps of the one that is chosen, and fields both ways.

import { by, counted, draw, make, select, short } from "./elements";
import { coloured, paint, paintPart } from "./colour";
import { changes, isMap, sees, type Layer, type Span } from "./geometry";
import { asked, complain, input, layerNow, now, state, wire } from "./page";
import { overlay, pixelAt, rectangle, say } from "./picture";
import { write } from "./state";
import type { Numbers, Plane } from "./wire";

const AT_ONCE = 64; // maps that are shown
export interface Told {
  layer: string;
  at?: [Span, Span]; // the part that is sent, the last row and column not included; all of it if not given
  first: number;
  of: number;
  low: number;
  high: number;
}

export function drawLayers(): void {
  if (!now.network) return;
  const layers = now.network.layers;
  const most = Math.log2(1 + Math.max(...layers.map((l) => l.shape[1] ?? 1)));
  const wide = Math.log2(1 + Math.max(...layers.map((l) => l.shape[0] ?? 1)));
  by("layers").replaceChildren(
    ...layers.map((layer) => {
      const h = isMap(layer) ? Math.max(4, (44 * Math.log2(1 + layer.shape[1]!)) / most) : 4;
      const w = Math.max(3, (16 * Math.log2(1 + (layer.shape[0] ?? 1))) / wide);
      const rect = draw("rect", { x: 10 - w / 2, y: 24 - h / 2, width: w, height: h, rx: 1.5, class: `block ${layer.parameters ? "learned" : ""}` });
      const block = draw("svg", { viewBox: "0 0 20 48", "aria-hidden": "true" }, rect);
      const words = make("span", { class: "hidden" }, `${layer.name}, ${layer.op}, ${layer.shape.join(" by ")}`);
      return make("div", { role: "option", "data-layer": layer.name, "aria-selected": "false", title: `${layer.name}: ${layer.shape.join(" × ")}` }, block, words);
    }),
  );
}

export function openLayer(): void {
  const layer = layerNow();
  if (!layer) return;
  select(by("layers"), by("layers").querySelector<HTMLElement>(`[data-layer="${CSS.escape(layer.name)}"]`) ?? undefined);
  const field = layer.field.map((a, i) => (a ? `${a.size}` : `all ${input()[i + 1]}`)).join(" × ");
  by("layer-told").textContent =
    `${layer.name} (${layer.op.replaceAll("_", " ")}): ${layer.shape.join(" × ")}; each value sees ${field} pixels; ` +
    `${counted(layer.parameters)} parameters, ${short(layer.macs ?? 0)} multiply-adds.`;
  askMaps();
}

/** The maps of the picture as it is, over which those of a changed part are painted. */
let clean: { of: string; plane: Plane; told: Told } | null = null;
let painted: { of: string; at: [Span, Span] | null } = { of: "", at: null }; // whose maps stand there, and which part is changed
let wanted = ""; // the clean maps that are on their way

const ofMaps = (): string => [asked().network, asked().picture, state.layer, state.first].join();

/** What is asked more of a question whose answer may bring the maps of a changed part along; nothing where none are known. */
export function withMaps(): Record<string, unknown> {
  return clean?.of === ofMaps() && layerNow() ? { layer: state.layer, first: state.first } : {};
}

/** The maps of the layer that is chosen, for the picture as the tool has changed it. */
export function askMaps(): void {
  const layer = layerNow();
  if (!layer) return;
  const of = ofMaps();
  const changed = now.tool?.asks?.() ?? {};
  const question = { kind: "maps", ...asked(), layer: layer.name, first: state.first };
  wire.follow("maps", { ...question, ...changed }, (header, arrays) => {
    if (header.error) return complain(header.error);
    if (!arrays.maps) return;
    const told = header as unknown as Told;
    if (!Object.keys(changed).length) clean = { of, plane: arrays.maps, told };
    painted = { of: Object.keys(changed).length ? "" : of, at: null };
    showMaps(arrays.maps, told);
  });
  if (!("box" in changed) || clean?.of === of || wanted === of) return;
  wanted = of;
  wire.ask("clean", question, (header, arrays) => {
    wanted = "";
    if (arrays.maps && !header.error) clean = { of, plane: arrays.maps, told: header as unknown as Told };
  });
}

/** The maps of a part that changed, over the clean ones, in their colours. */
export function showPart(plane: Plane, told: Told): void {
  const of = ofMaps();
  if (clean?.of !== of || told.layer !== state.layer) return;
  if (!told.at) {
    painted = { of: "", at: null };
    return showMaps(plane, told);
  }
  if (painted.of !== of) {
    showMaps(clean.plane, clean.told);
    painted = { of, at: null };
  }
  const { low, high } = clean.told;
  const [, height, width] = clean.plane.shape as [number, number, number];
  const before = painted.at;
  const [rows, columns] = told.at;
  const size = (rows[1] - rows[0]) * (columns[1] - columns[0]);
  [...by("maps").children].forEach((figure, i) => {
    const canvas = figure.firstElementChild as HTMLCanvasElement;
    const map = clean!.plane.data.subarray(i * height * width, (i + 1) * height * width);
    if (before) paintPart(canvas, coloured(cut(map, width, before), low, high), before);
    paintPart(canvas, coloured(plane.data.subarray(i * size, (i + 1) * size), low, high), told.at!);
  });
  painted.at = told.at;
}

/** Rows and columns of a map, the last ones not included. */
function cut(map: Numbers, width: number, [rows, columns]: [Span, Span]): Float32Array {
  const wide = columns[1] - columns[0];
  const part = new Float32Array((rows[1] - rows[0]) * wide);
  for (let r = rows[0]; r < rows[1]; r++) part.set(map.subarray(r * width + columns[0], r * width + columns[1]), (r - rows[0]) * wide);
  return part;
}

function showMaps(plane: Plane, told: Told): void {
  const [count, height, width] = plane.shape as [number, number, number];
  const grid = by("maps");
  if (height * width === 1) {
    grid.replaceChildren(vector(plane, told));
  } else {
    while (grid.children.length > count || grid.querySelector(".vector")) grid.lastElementChild?.remove();
    while (grid.children.length < count) grid.append(make("figure", {}, make("canvas", { "aria-hidden": "true" }), make("figcaption")));
    [...grid.children].forEach((figure, i) => {
      const [canvas, caption] = figure.children as unknown as [HTMLCanvasElement, HTMLElement];
      const part = plane.data.subarray(i * height * width, (i + 1) * height * width);
      paint(canvas, coloured(part, told.low, told.high), width, height);
      caption.textContent = String(told.first + i);
    });
  }
  by("maps").dataset.layer = state.layer;
  const pages = by("pages");
  pages.hidden = told.of <= AT_ONCE;
  const button = (text: string, first: number, off: boolean): HTMLElement => {
    const b = make("button", { type: "button", disabled: off }, text);
    b.addEventListener("click", () => {
      state.first = first;
      write(state);
      askMaps();
    });
    return b;
  };
  pages.replaceChildren(
    button("Before", Math.max(0, told.first - AT_ONCE), told.first === 0),
    make("span", {}, `channels ${told.first} to ${told.first + count - 1} of ${told.of}; ${told.low.toPrecision(3)} to ${told.high.toPrecision(3)}`),
    button("Next", told.first + AT_ONCE, told.first + count >= told.of),
  );
}

function vector(plane: Plane, told: { low: number; high: number }): SVGElement {
  const n = plane.data.length;
  const low = Math.min(0, told.low);
  const high = Math.max(0, told.high);
  const y = (v: number): number => 60 * (1 - (v - low) / (high - low || 1));
  const bars = [...plane.data].map((v, i) => draw("rect", { x: (i * 640) / n, width: Math.max(0.5, 600 / n), y: Math.min(y(v), y(0)), height: Math.max(0.3, Math.abs(y(v) - y(0))), class: v < 0 ? "less" : "more" }));
  return draw("svg", { viewBox: "0 0 640 60", class: "vector", role: "img", "aria-label": `${n} values from ${told.low.toPrecision(3)} to ${told.high.toPrecision(3)}` }, ...bars);
}

/** Light up what one value of the layer sees, and say it. */
export function lightField(row: number, column: number): void {
  const layer = layerNow();
  if (!layer) return;
  const [, height, width] = input();
  const rows = sees(layer.field[0], row, height);
  const columns = sees(layer.field[1], column, width);
  if (!rows || !columns) {
    overlay();
    return say("This value sees padding alone.");
  }
  overlay(rectangle(rows, columns, "field"));
  say(`Value ${row}, ${column} of ${layer.name} sees rows ${rows[0]} to ${rows[1]} and columns ${columns[0]} to ${columns[1]}, no other pixel.`);
}

/** Light up, in every layer, what one pixel can change. */
export function lightInfluence(row: number, column: number): void {
  if (!now.network) return;
  const reach = (layer: Layer): [Span | null, Span | null] => [
    changes(layer.field[0], [row, row], layer.shape[1]!), changes(layer.field[1], [column, column], layer.shape[2]!),
  ];
  now.network.layers.forEach((layer, i) => {
    const option = by("layers").children[i];
    if (!option || !isMap(layer)) return;
    const [rows, columns] = reach(layer);
    const share = rows && columns ? ((rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1)) / (layer.shape[1]! * layer.shape[2]!) : 0;
    option.querySelector("rect")?.setAttribute("fill-opacity", String(0.15 + 0.85 * share));
  });
  overlay(rectangle([row, row], [column, column], "field"));
  const layer = layerNow();
  if (!layer || !isMap(layer)) return;
  const [rows, columns] = reach(layer);
  outline(rows, columns);
  say(
    rows && columns
      ? `Pixel ${row}, ${column} can change rows ${rows[0]} to ${rows[1]} and columns ${columns[0]} to ${columns[1]} of ${layer.name}, nothing else of it.`
      : `Pixel ${row}, ${column} changes nothing of ${layer.name}.`,
  );
}

/** A frame on every map of the layer that is shown, by rows and columns. */
export function outline(rows: Span | null, columns: Span | null): void {
  const layer = layerNow();
  for (const figure of by("maps").querySelectorAll("figure")) {
    figure.querySelector("svg")?.remove();
    if (!rows || !columns || !layer || !isMap(layer)) continue;
    figure.append(draw("svg", { viewBox: `0 0 ${layer.shape[2]} ${layer.shape[1]}`, class: "mark", "aria-hidden": "true", preserveAspectRatio: "none" }, rectangle(rows, columns, "field")));
  }
}

export function unlit(): void {
  for (const block of by("layers").querySelectorAll("rect")) block.removeAttribute("fill-opacity");
  outline(null, null);
}

/** Pointing at a map, or moving over it with arrow keys, lights up what the value sees. */
export function listenToMaps(): void {
  const maps = by("maps");
  let pointed: [number, number] = [0, 0];
  const light = (row: number, column: number): void => {
    pointed = [row, column];
    outline([row, row], [column, column]);
    lightField(row, column);
  };
  const dark = (): void => {
    outline(null, null);
    now.tool?.open();
  };
  maps.addEventListener("pointermove", (event) => {
    const canvas = (event.target as Element).closest("canvas");
    if (canvas) light(...pixelAt(event, canvas, canvas.width, canvas.height));
  });
  maps.addEventListener("pointerleave", dark);
  maps.addEventListener("blur", dark);
  const steps: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  maps.addEventListener("keydown", (event) => {
    const way = steps[event.key];
    const layer = layerNow();
    if (!way || !layer || !isMap(layer)) return;
    event.preventDefault();
    const inside = (v: number, n: number): number => Math.min(n - 1, Math.max(0, v));
    light(inside(pointed[0] + way[0], layer.shape[1]!), inside(pointed[1] + way[1], layer.shape[2]!));
  });
}
