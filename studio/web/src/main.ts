// The page: one picture, what the network says of it, and what its layers hold, all of which follow what a person does.

import { by, counted, draw, listbox, make, select, short } from "./elements";
import { chart } from "./chart";
import { coloured, opaque, paint } from "./colour";
import { changes, isMap, sees, type Layer, type Span } from "./geometry";
import { FILLS, read, SLIDERS, TOOLS, write, type Box, type State, type Tool } from "./state";
import { Wire, type Plane } from "./wire";

interface Network {
  name: string;
  task: string;
  about: string;
  classes: string[];
  input: [number, number, number];
  parameters: number;
  macs: number | null;
  layers: Layer[];
  pictures: { id: string; name: string; truth: string | null }[];
}
interface Score {
  class: number;
  name: string;
  share: number;
  raw: number;
}

const METHODS: [string, string][] = [
  ["grad-cam", "Grad-CAM"], ["saliency", "Saliency"], ["integrated-gradients", "Integrated gradients"],
  ["gradient-x-input", "Gradient × input"], ["smoothgrad", "SmoothGrad"], ["guided-backpropagation", "Guided backpropagation"],
  ["occlusion", "Occlusion"],
];

const state: State = read();
let network: Network | null = null;
let clean: Score[] = []; // of the picture as it is
let pixels: Plane | null = null; // as it is
let named = ""; // what the picture is, in words
let drops: { plane: Plane; patch: [number, number]; stride: [number, number] } | null = null;

const wire = new Wire((text) => (by("status").textContent = text), start);

// What there is

function start(): void {
  wire.ask("networks", { kind: "networks" }, (header) => {
    if (header.error) return complain(header.error);
    const all = header.networks as { id: string; name: string }[];
    const chooser = by<HTMLSelectElement>("networks");
    chooser.replaceChildren(...all.map((n) => make("option", { value: n.id }, n.name)));
    if (!all.some((n) => n.id === state.network)) state.network = all[0]?.id ?? "";
    chooser.value = state.network;
    openNetwork();
  });
}

function complain(text: string): void {
  by("status").textContent = text;
}

function openNetwork(then?: string): void {
  by("status").textContent = "Opening the network …";
  wire.ask("network", { kind: "network", network: state.network }, (header, arrays) => {
    by("status").textContent = header.error ?? "";
    if (header.error) return;
    network = header as unknown as Network;
    const [channels, height, width] = network.input;
    by("about").textContent =
      `${counted(network.parameters)} parameters, ${short(network.macs ?? 0)} multiply-adds; it reads ` +
      `${width} × ${height} pixels${channels === 1 ? ", grey" : ""} and gives ${network.about}.`;
    by("strip").replaceChildren(
      ...network.pictures.map((p) => {
        const canvas = make("canvas", { "aria-hidden": "true" });
        const plane = arrays[p.id];
        if (plane) paint(canvas, opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
        return make("div", { role: "option", "data-id": p.id, "aria-selected": "false", title: p.truth ? `${p.name}: ${p.truth}` : p.name }, canvas, make("span", { class: "hidden" }, p.name));
      }),
    );
    drawLayers();
    if (then) state.picture = then;
    if (!network.pictures.some((p) => p.id === state.picture)) state.picture = network.pictures[0]?.id ?? "";
    const known = network.layers.some((l) => l.name === state.layer);
    if (!known) state.layer = network.layers.find((l) => isMap(l) && l.op === "convolution")?.name ?? network.layers[0]?.name ?? "";
    openPicture();
  });
}

function openPicture(): void {
  if (!network) return;
  select(by("strip"), by("strip").querySelector<HTMLElement>(`[data-id="${CSS.escape(state.picture)}"]`) ?? undefined);
  wire.ask("picture", { kind: "picture", ...asked() }, (header, arrays) => {
    if (header.error) return complain(header.error);
    pixels = arrays.pixels ?? null;
    clean = header.top as Score[];
    drops = null;
    const truth = header.truth as string | null;
    named = truth ? `${header.name}; its label is “${truth}”.` : `${header.name}.`;
    if (state.box === null) state.box = middle();
    showPixels(pixels);
    showBars(clean);
    choose(state.tool);
  });
}

const asked = (): { network: string; picture: string } => ({ network: state.network, picture: state.picture });
const target = (): number => state.target ?? clean[0]?.class ?? 0;
const nameOf = (c: number): string => network?.classes[c] ?? clean.find((s) => s.class === c)?.name ?? `class ${c}`;

function middle(): Box {
  const [, height, width] = network?.input ?? [1, 1, 1];
  const half = (n: number): [number, number] => [Math.floor(n * 0.4), Math.max(Math.floor(n * 0.4) + 1, Math.ceil(n * 0.6))];
  return [half(height), half(width)];
}

// The picture

function showPixels(plane: Plane | null): void {
  if (plane) paint(by<HTMLCanvasElement>("pixels"), opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
}

function overlay(...marks: SVGElement[]): void {
  const over = by<SVGSVGElement>("over");
  const [, height, width] = network?.input ?? [1, 1, 1];
  over.setAttribute("viewBox", `0 0 ${width} ${height}`);
  over.replaceChildren(...marks);
}

function rectangle(rows: Span, columns: Span, kind: string): SVGElement {
  return draw("rect", { x: columns[0], y: rows[0], width: columns[1] - columns[0] + 1, height: rows[1] - rows[0] + 1, class: kind });
}

function pixelAt(event: PointerEvent, element: HTMLElement, width: number, height: number): [number, number] {
  const place = element.getBoundingClientRect();
  const inside = (v: number, n: number): number => Math.min(n - 1, Math.max(0, Math.floor(v * n)));
  return [inside((event.clientY - place.top) / place.height, height), inside((event.clientX - place.left) / place.width, width)];
}

// The answer

function showBars(scores: Score[]): void {
  const bars = by("bars");
  bars.replaceChildren(
    ...scores.map((s) => {
      const before = clean.find((c) => c.class === s.class);
      const filled = draw("rect", { width: Math.max(0, 100 * s.share), height: 10, class: "fill" });
      const marks = before && before !== s ? [draw("rect", { x: 100 * before.share - 0.4, width: 0.8, height: 10, class: "before" })] : [];
      const bar = draw("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, draw("rect", { width: 100, height: 10, class: "track" }), filled, ...marks);
      const share = s.share >= 0.9995 ? "100 %" : `${(100 * s.share).toFixed(1)} %`;
      return make("div", { role: "option", "data-class": s.class, "aria-selected": String(s.class === target()) }, make("span", { class: "name" }, s.name), bar, make("span", { class: "share" }, share));
    }),
  );
}

// The network

function drawLayers(): void {
  if (!network) return;
  const most = Math.log2(1 + Math.max(...network.layers.map((l) => l.shape[1] ?? 1)));
  const wide = Math.log2(1 + Math.max(...network.layers.map((l) => l.shape[0] ?? 1)));
  by("layers").replaceChildren(
    ...network.layers.map((layer) => {
      const h = isMap(layer) ? Math.max(4, (44 * Math.log2(1 + layer.shape[1]!)) / most) : 4;
      const w = Math.max(3, (16 * Math.log2(1 + (layer.shape[0] ?? 1))) / wide);
      const block = draw("svg", { viewBox: "0 0 20 48", "aria-hidden": "true" }, draw("rect", { x: 10 - w / 2, y: 24 - h / 2, width: w, height: h, rx: 1.5, class: `block ${layer.parameters ? "learned" : ""}` }));
      return make("div", { role: "option", "data-layer": layer.name, "aria-selected": "false", title: `${layer.name}: ${layer.shape.join(" × ")}` }, block, make("span", { class: "hidden" }, `${layer.name}, ${layer.op}, ${layer.shape.join(" by ")}`));
    }),
  );
}

function layerNow(): Layer | undefined {
  return network?.layers.find((l) => l.name === state.layer);
}

function openLayer(): void {
  const layer = layerNow();
  if (!layer || !network) return;
  select(by("layers"), by("layers").querySelector<HTMLElement>(`[data-layer="${CSS.escape(layer.name)}"]`) ?? undefined);
  const field = layer.field.map((a, i) => (a ? `${a.size}` : `all ${network!.input[i + 1]}`)).join(" × ");
  by("layer-told").textContent =
    `${layer.name} (${layer.op.replaceAll("_", " ")}): ${layer.shape.join(" × ")}; each value sees ${field} pixels; ` +
    `${counted(layer.parameters)} parameters, ${short(layer.macs ?? 0)} multiply-adds.`;
  askMaps();
}

function askMaps(): void {
  const layer = layerNow();
  if (!layer) return;
  const question: Record<string, unknown> & { kind: string } = { kind: "maps", ...asked(), layer: layer.name, first: state.first };
  if (state.tool === "change") question.amounts = state.amounts;
  if (state.tool === "hide" && state.box) Object.assign(question, { box: state.box, fill: state.fill });
  wire.ask("maps", question, (header, arrays) => {
    if (header.error) return complain(header.error);
    const plane = arrays.maps;
    if (plane) showMaps(plane, header as unknown as { first: number; of: number; low: number; high: number });
  });
}

function showMaps(plane: Plane, told: { first: number; of: number; low: number; high: number }): void {
  const [count, height, width] = plane.shape as [number, number, number];
  const grid = by("maps");
  if (height * width === 1) {
    grid.replaceChildren(vector(plane, told));
  } else {
    while (grid.children.length > count || grid.querySelector("svg")) grid.lastElementChild?.remove();
    while (grid.children.length < count) {
      grid.append(make("figure", {}, make("canvas"), make("figcaption")));
    }
    [...grid.children].forEach((figure, i) => {
      const [canvas, caption] = figure.children as unknown as [HTMLCanvasElement, HTMLElement];
      const part = plane.data.subarray(i * height * width, (i + 1) * height * width);
      paint(canvas, coloured(part, told.low, told.high), width, height);
      caption.textContent = String(told.first + i);
    });
  }
  const pages = by("pages");
  pages.hidden = told.of <= 64;
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
    button("Before", Math.max(0, told.first - 64), told.first === 0),
    make("span", {}, `channels ${told.first} to ${told.first + count - 1} of ${told.of}; ${told.low.toPrecision(3)} to ${told.high.toPrecision(3)}`),
    button("Next", told.first + 64, told.first + count >= told.of),
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

/** Light up what one value of a layer sees, and say it. */
function lightField(row: number, column: number): void {
  const layer = layerNow();
  if (!layer || !network) return;
  const [, height, width] = network.input;
  const rows = sees(layer.field[0], row, height);
  const columns = sees(layer.field[1], column, width);
  if (!rows || !columns) {
    overlay();
    by("picture-told").textContent = "This value sees padding alone.";
    return;
  }
  overlay(rectangle(rows, columns, "field"));
  by("picture-told").textContent =
    `Value ${row}, ${column} of ${layer.name} sees rows ${rows[0]} to ${rows[1]} and columns ${columns[0]} to ${columns[1]}, no other pixel.`;
}

/** Light up, in every layer, what one pixel can change. */
function lightInfluence(row: number, column: number): void {
  if (!network) return;
  const now = layerNow();
  network.layers.forEach((layer, i) => {
    const option = by("layers").children[i];
    if (!option || !isMap(layer)) return;
    const rows = changes(layer.field[0], [row, row], layer.shape[1]!);
    const columns = changes(layer.field[1], [column, column], layer.shape[2]!);
    const share = rows && columns ? ((rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1)) / (layer.shape[1]! * layer.shape[2]!) : 0;
    option.querySelector("rect")?.setAttribute("fill-opacity", String(0.15 + 0.85 * share));
  });
  overlay(rectangle([row, row], [column, column], "field"));
  if (!now || !isMap(now)) return;
  const rows = changes(now.field[0], [row, row], now.shape[1]!);
  const columns = changes(now.field[1], [column, column], now.shape[2]!);
  outline(rows, columns);
  by("picture-told").textContent =
    rows && columns
      ? `Pixel ${row}, ${column} can change rows ${rows[0]} to ${rows[1]} and columns ${columns[0]} to ${columns[1]} of ${now.name}, nothing else of it.`
      : `Pixel ${row}, ${column} changes nothing of ${now.name}.`;
}

/** A frame on the first map of the layer shown, and on all others by the same rows and columns. */
function outline(rows: Span | null, columns: Span | null): void {
  const layer = layerNow();
  for (const figure of by("maps").querySelectorAll("figure")) {
    figure.querySelector("svg")?.remove();
    if (!rows || !columns || !layer || !isMap(layer)) continue;
    figure.append(draw("svg", { viewBox: `0 0 ${layer.shape[2]} ${layer.shape[1]}`, class: "mark", "aria-hidden": "true", preserveAspectRatio: "none" }, rectangle(rows, columns, "field")));
  }
}

function unlit(): void {
  for (const block of by("layers").querySelectorAll("rect")) block.removeAttribute("fill-opacity");
  outline(null, null);
}

// Tools

function choose(tool: Tool): void {
  state.tool = tool;
  write(state);
  for (const button of by("tools").querySelectorAll("input")) button.checked = button.value === tool;
  by("chart").hidden = tool !== "change";
  by("picture").dataset.tool = tool;
  unlit();
  overlay();
  by("answer-told").textContent = "";
  by("picture-told").textContent = named;
  showPixels(pixels);
  showBars(clean);
  controls();
  if (tool === "hide") hide();
  if (tool === "change") change();
  if (tool === "why") why();
  openLayer();
}

function controls(): void {
  const place = by("controls");
  if (state.tool === "look") {
    place.replaceChildren(make("p", { class: "hint" }, "Point at the picture: what that pixel can change lights up in every layer. Point at a map below: what that value sees lights up here. Arrow keys do the same. Drop or paste an image to look at it."));
  } else if (state.tool === "hide") {
    const fills = make("select", {}, ...FILLS.map((f) => make("option", { value: f, selected: f === state.fill }, f)));
    fills.addEventListener("change", () => {
      state.fill = fills.value as State["fill"];
      drops = null;
      hide();
    });
    const fill = make("button", { type: "button" }, "Hide everywhere");
    fill.addEventListener("click", everywhere);
    place.replaceChildren(make("label", { class: "choice" }, "Hidden by ", fills), fill, make("p", { class: "hint" }, "Drag the box, or its corner to resize it; arrow keys move it, with Shift they resize it. “Hide everywhere” does it at every place."));
  } else if (state.tool === "change") {
    const rows = SLIDERS.map((s) => {
      const value = state.amounts[s.name] ?? s.still;
      const input = make("input", { type: "range", min: s.low, max: s.high, step: (s.high - s.low) / 200, value, id: `slider-${s.name}` });
      const told = make("output", { for: `slider-${s.name}` }, s.unit(value));
      input.addEventListener("input", () => {
        state.amounts[s.name] = Number(input.value);
        told.textContent = s.unit(Number(input.value));
        if (state.along !== s.name) state.along = s.name;
        change();
      });
      return make("div", { class: "slider" }, make("label", { for: `slider-${s.name}` }, s.label), input, told);
    });
    const reset = make("button", { type: "button" }, "Reset");
    reset.addEventListener("click", () => {
      state.amounts = {};
      controls();
      change();
    });
    place.replaceChildren(...rows, reset);
  } else {
    const methods = make("select", {}, ...METHODS.map(([value, name]) => make("option", { value, selected: value === state.method }, name)));
    methods.addEventListener("change", () => {
      state.method = methods.value;
      why();
    });
    place.replaceChildren(make("label", { class: "choice" }, "Method ", methods), make("p", { class: "hint" }, "Which pixels decided on the class that is chosen beside; how far the map can be trusted follows after it."));
  }
}

function hide(): void {
  const box = state.box;
  if (!box || !network) return;
  write(state);
  const [[top, bottom], [left, right]] = box;
  const marks: SVGElement[] = [];
  if (drops) marks.push(dropMap());
  marks.push(rectangle([top, bottom - 1], [left, right - 1], `hidden-box ${state.fill}`), draw("circle", { cx: right, cy: bottom, r: network.input[2] / 45, class: "grip" }));
  overlay(...marks);
  wire.ask("occlude", { kind: "occlude", ...asked(), box, fill: state.fill }, (header) => {
    if (header.error) return void (by("answer-told").textContent = header.error);
    showBars(header.top as Score[]);
    const apart = header.apart as number | undefined;
    by("answer-told").textContent =
      apart === undefined
        ? "From what the box can change alone."
        : `The same as a full pass, to ${apart === 0 ? "the last bit" : `${apart.toExponential(1)} of the scores' spread`}.`;
  });
  askMaps();
}

function everywhere(): void {
  const box = state.box;
  if (!box) return;
  wire.ask("occlusion", { kind: "occlusion", ...asked(), box, fill: state.fill, target: target() }, (header, arrays) => {
    if (header.error) return void (by("answer-told").textContent = header.error);
    const plane = arrays.drops;
    if (!plane) return;
    drops = { plane, patch: header.patch as [number, number], stride: header.stride as [number, number] };
    if (state.tool === "hide") {
      const children = [...by<SVGSVGElement>("over").children].filter((c) => c.tagName !== "image") as SVGElement[];
      overlay(dropMap(), ...children);
    }
    const found = [...plane.data].filter((v) => !Number.isNaN(v));
    by("picture-told").textContent = `What hiding costs “${nameOf(target())}”, at ${counted(found.length)} places: up to ${Math.max(...found).toFixed(2)} of its score; most where it is brightest.`;
  });
}

let shown = ""; // address of the picture of a map, which is freed when another takes its place

function imageOf(data: Uint8ClampedArray<ArrayBuffer>, width: number, height: number, place: Record<string, number>): SVGElement {
  const canvas = make("canvas");
  paint(canvas, data, width, height);
  const image = draw("image", { ...place, preserveAspectRatio: "none", class: "heat" });
  canvas.toBlob((blob) => {
    if (!blob) return;
    URL.revokeObjectURL(shown);
    shown = URL.createObjectURL(blob);
    image.setAttribute("href", shown);
  });
  return image;
}

function dropMap(): SVGElement {
  const { plane, patch, stride } = drops!;
  const [rows, columns] = plane.shape as [number, number];
  const found = [...plane.data].filter((v) => !Number.isNaN(v));
  // Each place of the patch is shown where its centre lies.
  const place = { x: patch[1] / 2 - stride[1] / 2, y: patch[0] / 2 - stride[0] / 2, width: columns * stride[1], height: rows * stride[0] };
  return imageOf(coloured(plane.data, Math.min(0, ...found), Math.max(...found), 190), columns, rows, place);
}

function change(): void {
  write(state);
  wire.ask("change", { kind: "change", ...asked(), amounts: state.amounts }, (header, arrays) => {
    if (header.error) return void (by("answer-told").textContent = header.error);
    showPixels(arrays.pixels ?? null);
    showBars(header.top as Score[]);
  });
  const slider = SLIDERS.find((s) => s.name === state.along)!;
  wire.ask("curve", { kind: "curve", ...asked(), amounts: state.amounts, along: state.along, target: target() }, (header, arrays) => {
    if (header.error) return;
    const plane = arrays.points;
    if (plane) chart(by("chart"), plane.data, slider, state.amounts[slider.name] ?? slider.still, nameOf(target()));
  });
  askMaps();
}

function why(): void {
  write(state);
  by("answer-told").textContent = "";
  overlay();
  wire.ask("explain", { kind: "explain", ...asked(), method: state.method, target: target() }, (header, arrays) => {
    if (header.error) return void (by("answer-told").textContent = header.error);
    const cause = arrays.map;
    if (state.tool === "why" && cause && network) {
      const [height, width] = cause.shape as [number, number];
      const [low, high] = ends(cause.data);
      overlay(imageOf(coloured(cause.data, low, high, 190), width, height, { x: 0, y: 0, width: network.input[2], height: network.input[1] }));
    }
    const faithful = header.faithfulness as number | undefined;
    by("answer-told").textContent =
      faithful === undefined
        ? `${nameOf(target())}: how far the map can be trusted is being measured …`
        : `${nameOf(target())}: faithfulness ${signed(faithful)}, against ${signed(header.edges as number)} for an edge detector and ` +
          `${signed(header.chance as number)} for chance${header.ignores === null ? "" : "; the map hardly depends on the weights, so it is not the network's reason"}.`;
  });
}

function ends(data: ArrayLike<number>): [number, number] {
  let low = 0;
  let high = 0;
  for (let i = 0; i < data.length; i++) {
    low = Math.min(low, data[i]!);
    high = Math.max(high, data[i]!);
  }
  return [low, high];
}
const signed = (v: number): string => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(2);

// What a person does

function moveBox(rows: number, columns: number, resize: boolean): void {
  if (!state.box || !network) return;
  const [, height, width] = network.input;
  const [[top, bottom], [left, right]] = state.box;
  if (resize) {
    state.box = [[top, clamp(bottom + rows, top + 1, height)], [left, clamp(right + columns, left + 1, width)]];
  } else {
    const r = clamp(top + rows, 0, height - (bottom - top));
    const c = clamp(left + columns, 0, width - (right - left));
    state.box = [[r, r + bottom - top], [c, c + right - left]];
  }
  hide();
}
const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, v));

function listen(): void {
  listbox(by("strip"), (option) => {
    state.picture = option.dataset.id ?? "";
    openPicture();
  });
  listbox(by("layers"), (option) => {
    state.layer = option.dataset.layer ?? "";
    state.first = 0;
    write(state);
    openLayer();
  });
  listbox(by("bars"), (option) => {
    state.target = Number(option.dataset.class);
    drops = null;
    select(by("bars"), option);
    if (state.tool === "change") change();
    if (state.tool === "why") why();
    if (state.tool === "hide") hide();
    write(state);
  });
  by<HTMLSelectElement>("networks").addEventListener("change", (event) => {
    Object.assign(state, { network: (event.target as HTMLSelectElement).value, picture: "", layer: "", box: null, target: null, first: 0 });
    openNetwork();
  });
  by("tools").replaceChildren(
    ...Object.entries(TOOLS).map(([value, name]) => {
      const input = make("input", { type: "radio", name: "tool", value });
      input.addEventListener("change", () => choose(value as Tool));
      return make("label", {}, input, make("span", {}, name));
    }),
  );

  const picture = by("picture");
  let held: { row: number; column: number; resize: boolean } | null = null;
  let pointed: [number, number] = [0, 0];
  const size = (): [number, number] => [network?.input[2] ?? 1, network?.input[1] ?? 1];
  picture.addEventListener("pointerdown", (event) => {
    if (state.tool !== "hide" || !state.box) return;
    const [row, column] = pixelAt(event, picture, ...size());
    const [[top, bottom], [left, right]] = state.box;
    const near = Math.max(2, size()[0] / 25);
    const resize = Math.abs(row - bottom) < near && Math.abs(column - right) < near;
    if (!resize && (row < top || row >= bottom || column < left || column >= right)) {
      moveBox(row - Math.floor((top + bottom) / 2), column - Math.floor((left + right) / 2), false);
    }
    held = { row, column, resize };
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    const [row, column] = pixelAt(event, picture, ...size());
    if (state.tool === "look") {
      pointed = [row, column];
      lightInfluence(row, column);
    } else if (held) {
      if (row === held.row && column === held.column) return;
      moveBox(row - held.row, column - held.column, held.resize);
      held = { ...held, row, column };
    }
  });
  const release = (): void => {
    held = null;
  };
  picture.addEventListener("pointerup", release);
  picture.addEventListener("pointercancel", release);
  picture.addEventListener("pointerleave", () => {
    if (state.tool === "look") {
      unlit();
      overlay();
    }
  });
  picture.addEventListener("keydown", (event) => {
    const step: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const way = step[event.key];
    if (!way || !network) return;
    event.preventDefault();
    const unit = Math.max(1, Math.round(size()[0] / 56));
    if (state.tool === "hide") moveBox(way[0] * unit, way[1] * unit, event.shiftKey);
    if (state.tool === "look") {
      pointed = [clamp(pointed[0] + way[0] * unit, 0, size()[1] - 1), clamp(pointed[1] + way[1] * unit, 0, size()[0] - 1)];
      lightInfluence(...pointed);
    }
  });

  const maps = by("maps");
  maps.addEventListener("pointermove", (event) => {
    const canvas = (event.target as Element).closest("canvas");
    if (!canvas) return;
    const [row, column] = pixelAt(event, canvas, canvas.width, canvas.height);
    outline([row, row], [column, column]);
    lightField(row, column);
  });
  maps.addEventListener("pointerleave", () => {
    outline(null, null);
    overlay();
    if (state.tool === "hide") hide();
  });

  const take = async (file: Blob): Promise<void> => {
    by("status").textContent = "Reading the image …";
    const answer = await fetch(`/drop/${encodeURIComponent(state.network)}`, { method: "POST", body: file });
    const told = (await answer.json().catch(() => ({ error: "the image could not be sent" }))) as { picture?: string; error?: string };
    by("status").textContent = told.error ?? "";
    if (told.picture) openNetwork(told.picture);
  };
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) void take(file);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) void take(file);
  });
  addEventListener("hashchange", () => {
    Object.assign(state, read());
    start();
  });
}

listen();
start();
