// Slide: an image of any size, zoomed deeply, and what a network gives for it, tile by tile where one looks first.

import { opaque, paint, paintPart, type Colour } from "../colour";
import { by, counted, make } from "../elements";
import { clamp, slides, state, wire } from "../page";
import { write } from "../state";
import type { View } from "../views";
import type { Arrays, Plane } from "../wire";

interface Slide {
  name: string;
  width: number;
  height: number;
  levels: number;
  tile: number;
}

const KEPT = 400; // tiles
let slide: Slide | null = null;
let wished = false; // whether the network's prediction is asked for
let refused = "";
const tiles = new Map<string, HTMLCanvasElement>();
const partly = new Set<string>(); // tiles of which more is on its way
const masks = new Map<string, HTMLCanvasElement>();
const legend = new Map<string, { colour: Colour; pixels: number }>();
const asking = { tile: "", mask: "" };
let scale = 1; // screen pixels a pixel of the slide
let [x, y] = [0, 0]; // of the slide, at the middle of the screen
let held: { id: number; x: number; y: number } | null = null;
let drawnAt = 0;

const which = (): string => state.own[".slide"] ?? slides[0]?.id ?? "";
const page = (): HTMLCanvasElement => by<HTMLCanvasElement>("slide");

function open(place: HTMLElement): void {
  if (!slides.length) {
    place.replaceChildren(make("section", {}, make("h2", {}, "Slide"), make("p", { class: "hint" }, "Start the studio with an image of any size beside a run that gives masks: striate studio runs/a scan.tif")));
    return;
  }
  const chooser = make("select", {}, ...slides.map((s) => make("option", { value: s.id, selected: s.id === which() }, s.name)));
  chooser.addEventListener("change", () => {
    Object.assign(state.own, { ".slide": chooser.value, ".at": "" });
    begin();
  });
  const check = make("input", { type: "checkbox", checked: state.own[".masks"] === "1" });
  check.addEventListener("change", () => {
    state.own[".masks"] = check.checked ? "1" : "";
    wished = check.checked;
    refused = "";
    write(state);
    draw();
  });
  wished = check.checked;
  const zoom = (words: string, by: number): HTMLElement => {
    const b = make("button", { type: "button" }, words);
    b.addEventListener("click", () => zoomTo(scale * by));
    return b;
  };
  const whole = make("button", { type: "button" }, "All of it");
  whole.addEventListener("click", fit);
  place.replaceChildren(
    make(
      "section", {}, make("h2", {}, "Slide"),
      make("div", { class: "row" }, make("label", { class: "choice" }, "Image ", chooser), make("label", { class: "tick-box" }, check, "what the network gives"), zoom("Nearer", 2), zoom("Farther", 0.5), whole),
      make("div", { id: "slide-frame", class: "slide-frame", tabindex: 0, role: "application", "aria-label": "The image; arrow keys move, plus and minus zoom", "aria-describedby": "slide-told" }, make("canvas", { id: "slide", "aria-hidden": "true" })),
      make("p", { id: "slide-told", class: "told", "aria-live": "polite" }), make("ul", { id: "slide-legend", class: "legend", "aria-label": "Colours" }),
    ),
  );
  listen(by("slide-frame"));
  begin();
}

function begin(): void {
  tiles.clear();
  partly.clear();
  masks.clear();
  legend.clear();
  asking.tile = asking.mask = refused = "";
  write(state);
  wire.ask("slide", { kind: "slide", slide: which() }, (header) => {
    if (header.error) return void (by("slide-told").textContent = header.error);
    slide = header as unknown as Slide;
    const kept = (state.own[".at"] ?? "").split(",").map(Number);
    if (kept.length === 3 && kept.every(Number.isFinite) && kept[2]! > 0) [x, y, scale] = kept as [number, number, number];
    else return fit();
    draw();
  });
}

function fit(): void {
  if (!slide) return;
  const frame = by("slide-frame");
  scale = Math.min(frame.clientWidth / slide.width, frame.clientHeight / slide.height);
  [x, y] = [slide.width / 2, slide.height / 2];
  moved();
}

function zoomTo(next: number, about?: [number, number]): void {
  if (!slide) return;
  const frame = by("slide-frame");
  const least = Math.min(frame.clientWidth / slide.width, frame.clientHeight / slide.height) / 2;
  const bounded = clamp(next, least, 16);
  const [u, v] = about ?? [frame.clientWidth / 2, frame.clientHeight / 2];
  // What lies under the pointer stays there.
  x += (u - frame.clientWidth / 2) * (1 / scale - 1 / bounded);
  y += (v - frame.clientHeight / 2) * (1 / scale - 1 / bounded);
  scale = bounded;
  moved();
}

function moved(): void {
  if (!slide) return;
  x = clamp(x, 0, slide.width);
  y = clamp(y, 0, slide.height);
  state.own[".at"] = [x.toFixed(1), y.toFixed(1), scale.toPrecision(4)].join();
  write(state);
  draw();
}

function listen(frame: HTMLElement): void {
  frame.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    zoomTo(scale * 2 ** (-event.deltaY / 400), [event.clientX - box.left, event.clientY - box.top]);
  }, { passive: false });
  frame.addEventListener("pointerdown", (event) => {
    frame.setPointerCapture(event.pointerId);
    held = { id: event.pointerId, x: event.clientX, y: event.clientY };
  });
  frame.addEventListener("pointermove", (event) => {
    if (!held || held.id !== event.pointerId) return;
    x -= (event.clientX - held.x) / scale;
    y -= (event.clientY - held.y) / scale;
    held = { id: held.id, x: event.clientX, y: event.clientY };
    moved();
  });
  const release = (): void => void (held = null);
  frame.addEventListener("pointerup", release);
  frame.addEventListener("pointercancel", release);
  frame.addEventListener("dblclick", () => zoomTo(scale * 2));
  frame.addEventListener("keydown", (event) => {
    const steps: Record<string, [number, number]> = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
    const way = steps[event.key];
    if (way) {
      x += (way[0] * 80) / scale;
      y += (way[1] * 80) / scale;
      moved();
    } else if (event.key === "+" || event.key === "=") zoomTo(scale * 2);
    else if (event.key === "-") zoomTo(scale / 2);
    else if (event.key === "Home") fit();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => draw()).observe(frame);
}

function draw(): void {
  if (drawnAt) return;
  drawnAt = requestAnimationFrame(() => {
    drawnAt = 0;
    if (state.view === "slide") paintAll();
  });
}

/** The tiles of a level that lie on the screen, those in the middle first. */
function visible(level: number): [number, number][] {
  const frame = by("slide-frame");
  const side = slide!.tile * 2 ** level;
  const [w, h] = [frame.clientWidth / scale, frame.clientHeight / scale];
  const range = (middle: number, size: number, all: number): [number, number] => [Math.max(0, Math.floor((middle - size / 2) / side)), Math.min(Math.ceil(all / side) - 1, Math.floor((middle + size / 2) / side))];
  const [top, bottom] = range(y, h, slide!.height);
  const [left, right] = range(x, w, slide!.width);
  const found: [number, number][] = [];
  for (let r = top; r <= bottom; r++) for (let c = left; c <= right; c++) found.push([r, c]);
  const far = ([r, c]: [number, number]): number => Math.hypot((r + 0.5) * side - y, (c + 0.5) * side - x);
  return found.sort((a, b) => far(a) - far(b));
}

function paintAll(): void {
  if (!slide) return;
  const frame = by("slide-frame");
  const canvas = page();
  const dense = window.devicePixelRatio || 1;
  const [w, h] = [frame.clientWidth, frame.clientHeight];
  if (canvas.width !== Math.round(w * dense)) canvas.width = Math.round(w * dense);
  if (canvas.height !== Math.round(h * dense)) canvas.height = Math.round(h * dense);
  const ink = canvas.getContext("2d")!;
  ink.setTransform(dense, 0, 0, dense, 0, 0);
  ink.clearRect(0, 0, w, h);
  ink.imageSmoothingEnabled = scale < 1;
  const level = clamp(Math.floor(-Math.log2(scale)), 0, slide.levels);
  const put = (from: Map<string, HTMLCanvasElement>, name: string, l: number, r: number, c: number): boolean => {
    const made = from.get(name);
    if (!made) return false;
    const side = slide!.tile * 2 ** l;
    const step = from === masks ? 1 : 2 ** l;
    ink.drawImage(made, (c * side - x) * scale + w / 2, (r * side - y) * scale + h / 2, made.width * step * scale, made.height * step * scale);
    return true;
  };
  // What is coarser stands beneath until the finer is there.
  for (let l = slide.levels; l >= level; l--) for (const [r, c] of visible(l)) put(tiles, `${l}/${r}/${c}`, l, r, c);
  ink.imageSmoothingEnabled = false;
  let known = 0;
  const places = wished ? visible(0).slice(0, KEPT / 2) : [];
  for (const [r, c] of places) known += Number(put(masks, `${r}/${c}`, 0, r, c));
  next(level, places);
  const shown = `${slide.name}: ${counted(slide.width)} × ${counted(slide.height)} pixels, at ${(100 * scale).toPrecision(2)} %, around row ${counted(Math.round(y))}, column ${counted(Math.round(x))}.`;
  const said = !wished ? "" : refused ? ` ${refused}` : ` The network has labelled ${known} of the ${places.length} tiles in sight, each as in the whole image.`;
  by("slide-told").textContent = shown + said;
}

/** Ask for the next tile of pixels that is missing, and for the next prediction. */
function next(level: number, places: [number, number][]): void {
  const coarse = visible(slide!.levels).map(([r, c]): [number, number, number] => [slide!.levels, r, c]);
  const missing = [...coarse, ...visible(level).map(([r, c]): [number, number, number] => [level, r, c])].find(([l, r, c]) => !tiles.has(`${l}/${r}/${c}`) || partly.has(`${l}/${r}/${c}`));
  const name = missing?.join("/") ?? "";
  if (missing && asking.tile !== name) {
    asking.tile = name;
    const [l, row, column] = missing;
    wire.ask("tile", { kind: "tile", slide: which(), level: l, row, column }, (header, arrays) => {
      if (header.error) return void (by("slide-told").textContent = header.error);
      if (header.whole) partly.delete(name);
      else partly.add(name);
      const plane = arrays.pixels!;
      const first = (header.from as number | undefined) ?? 0;
      const high = Math.min(slide!.tile, Math.ceil(slide!.height / 2 ** l) - row * slide!.tile); // of the tile; parts of it come as they are read
      keep(tiles, name, plane, (p) => opaque(p.data, p.shape[2]!), first, high);
    });
  }
  const place = refused ? undefined : places.find(([r, c]) => !masks.has(`${r}/${c}`));
  const wish = place?.join("/") ?? "";
  if (place && asking.mask !== wish) {
    asking.mask = wish;
    wire.ask("predicted", { kind: "predicted", network: state.network, slide: which(), row: place[0], column: place[1] }, (header, arrays) => {
      if (header.error) {
        refused = header.error;
        return draw();
      }
      taken(header as unknown as { parts: { number: number; name: string; colour: Colour; pixels: number }[] }, arrays, wish);
    });
  }
}

function taken(header: { parts: { number: number; name: string; colour: Colour; pixels: number }[] }, arrays: Arrays, name: string): void {
  const colours = new Map(header.parts.map((p) => [p.number, p.colour]));
  for (const p of header.parts) legend.set(p.name, { colour: p.colour, pixels: (legend.get(p.name)?.pixels ?? 0) + p.pixels });
  by("slide-legend").replaceChildren(
    ...[...legend].map(([words, { colour, pixels }]) => {
      const swatch = make("canvas", { width: 10, height: 10, "aria-hidden": "true" });
      paint(swatch, new Uint8ClampedArray(Array.from({ length: 100 }, () => [...colour, 255]).flat()), 10, 10);
      return make("li", {}, swatch, ` ${words}: ${counted(pixels)} pixels so far`);
    }),
  );
  keep(masks, name, arrays.mask!, (plane) => {
    const pixels = new Uint8ClampedArray(plane.data.length * 4);
    plane.data.forEach((n, i) => colours.has(n) && pixels.set([...colours.get(n)!, 150], 4 * i));
    return pixels;
  });
}

function keep(place: Map<string, HTMLCanvasElement>, name: string, plane: Plane, colour: (plane: Plane) => Uint8ClampedArray<ArrayBuffer>, top = 0, high = plane.shape[0]!): void {
  const [rows, columns] = [plane.shape[0]!, plane.shape[1]!];
  const canvas = make("canvas", { width: columns, height: Math.max(high, top + rows) });
  paintPart(canvas, colour(plane), [[top, top + rows], [0, columns]]);
  place.set(name, canvas);
  const first = place.keys().next().value;
  if (place.size > KEPT && first !== undefined) place.delete(first);
  draw();
}

export const slideView: View = {
  id: "slide",
  label: "Slide",
  needs: "network",
  open,
  close() {
    for (const name of ["tile", "predicted", "slide"]) wire.cancel(name);
    asking.tile = asking.mask = "";
  },
};
