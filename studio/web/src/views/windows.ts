// Windows: a small layer with every product shown, and a whole network from a pattern with what its layers see.

import { coloured, paint, wheel } from "../colour";
import { by, counted, make, short } from "../elements";
import type { Layer } from "../geometry";
import { clamp, state, wire } from "../page";
import { write } from "../state";
import type { View } from "../views";
import type { Arrays, Header, Plane } from "../wire";

const NUMBERS = { size: [1, 12, 6], kernel: [1, 7, 3], stride: [1, 6, 1], padding: [0, 4, 0], dilation: [1, 4, 1] } as const;
type Name = keyof typeof NUMBERS;
const LABELS: Record<Name, string> = { size: "Picture", kernel: "Kernel", stride: "Stride", padding: "Padding", dilation: "Dilation" };

let arrays: Arrays = {};
let told: Header | null = null;
let at = 0; // which output is shown
const number = (v: number): string => String(Number(v.toPrecision(4))).replace("-", "−");
const value = (name: Name): number => clamp(Math.round(Number(state.own[`.${name}`] ?? NUMBERS[name][2])), NUMBERS[name][0], NUMBERS[name][1]);

function open(place: HTMLElement): void {
  const presets = make("select", { id: "preset" });
  const ops = make("select", { id: "op" });
  const rows = (Object.keys(NUMBERS) as Name[]).map((name) => {
    const [low, high] = NUMBERS[name];
    const input = make("input", { type: "range", min: low, max: high, step: 1, value: value(name), id: `window-${name}` });
    const output = make("output", { for: `window-${name}` }, String(value(name)));
    input.addEventListener("input", () => {
      // What the worked example had is kept, but for what was moved.
      for (const other of Object.keys(NUMBERS) as Name[]) state.own[`.${other}`] = by<HTMLInputElement>(`window-${other}`).value;
      Object.assign(state.own, { ".preset": "", ".op": ops.value });
      output.textContent = input.value;
      presets.value = "";
      ask();
    });
    return make("div", { class: "slider" }, make("label", { for: `window-${name}` }, LABELS[name]), input, output);
  });
  presets.addEventListener("change", () => {
    state.own[".preset"] = presets.value;
    at = 0;
    ask();
  });
  ops.addEventListener("change", () => {
    Object.assign(state.own, { ".preset": "", ".op": ops.value });
    presets.value = "";
    ask();
  });
  const spec = make("input", { type: "text", id: "spec", value: state.own[".spec"] ?? "[[conv32-relu]*2-pool]*2-[fc128-relu]-fc", spellcheck: "false", autocomplete: "off" });
  const side = make("input", { type: "number", id: "side", min: 1, max: 512, value: state.own[".side"] ?? "32" });
  for (const field of [spec, side]) {
    field.addEventListener("input", () => {
      Object.assign(state.own, { ".spec": spec.value, ".side": side.value });
      askPattern();
    });
  }
  place.replaceChildren(
    make(
      "section", {}, make("h2", {}, "One layer, every product"),
      make("div", { class: "row" }, make("label", { class: "choice" }, "Worked example ", presets), make("label", { class: "choice" }, "Operation ", ops)),
      make("div", { class: "controls window-controls" }, ...rows),
      make("p", { id: "window-told", class: "hint" }),
      make("div", { id: "window-grids", class: "grids", role: "application", tabindex: 0, "aria-label": "The layer on numbers; arrow keys move over its output", "aria-describedby": "window-products" }),
      make("p", { id: "window-products", class: "products", "aria-live": "polite" }),
      make("h3", {}, "As a matrix"), make("p", { id: "window-matrix-told", class: "hint" }), make("div", { class: "matrix-frame", tabindex: 0, role: "group", "aria-label": "The matrix" }, make("canvas", { id: "window-matrix", class: "matrix", "aria-hidden": "true" })),
      make("h3", {}, "Its backward"), make("p", { class: "hint" }, "A gradient from above, 10, 20, …, and what reaches each input."), make("div", { id: "window-backward", class: "grids" }),
    ),
    make(
      "section", {}, make("h2", {}, "A network from a pattern"),
      make("div", { class: "row" }, make("label", { class: "choice grows" }, "Pattern or name ", spec), make("label", { class: "choice" }, "Pixels a side ", side)),
      make("p", { id: "pattern-told", class: "hint", role: "status" }),
      make("div", { class: "row pattern" }, make("figure", { class: "use" }, make("canvas", { id: "pattern-use", "aria-hidden": "true" }), make("figcaption", { id: "pattern-use-told" })), make("div", { class: "scrolled", tabindex: 0, role: "group", "aria-label": "Layers" }, make("table", { id: "pattern-layers", class: "lines" }))),
    ),
  );
  wire.ask("presets", { kind: "presets" }, (header) => {
    if (header.error) return;
    const options = (from: Record<string, string>, now: string): HTMLElement[] => Object.entries(from).map(([v, name]) => make("option", { value: v, selected: v === now }, name));
    presets.replaceChildren(make("option", { value: "" }, "your own"), ...options(header.presets as Record<string, string>, preset()));
    ops.replaceChildren(...options(header.ops as Record<string, string>, state.own[".op"] ?? "convolution"));
    ask();
  });
  const grids = by("window-grids");
  grids.addEventListener("keydown", (event) => {
    const [rows, columns] = (told?.out as [number, number] | undefined) ?? [1, 1];
    const steps: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    if (at + step >= 0 && at + step < rows * columns) light(at + step);
  });
  grids.addEventListener("pointermove", (event) => {
    const cell = (event.target as Element).closest<HTMLElement>("[data-output]");
    if (cell) light(Number(cell.dataset.output));
  });
  askPattern();
}

const preset = (): string => state.own[".preset"] ?? (state.own[".op"] || state.own[".size"] ? "" : "sliding");

function ask(): void {
  write(state);
  const named = preset();
  const own = { op: state.own[".op"] ?? "convolution", ...Object.fromEntries((Object.keys(NUMBERS) as Name[]).map((n) => [n, value(n)])) };
  wire.ask("window", { kind: "window", ...(named ? { preset: named } : own) }, (header, given) => {
    if (header.error) return void (by("window-told").textContent = header.error);
    told = header;
    arrays = given;
    for (const name of Object.keys(NUMBERS) as Name[]) {
      const input = by<HTMLInputElement>(`window-${name}`);
      const now = header[name] as number | number[];
      const one = Array.isArray(now) ? now[0]! : now;
      if (named) input.value = String(one);
      input.parentElement!.querySelector("output")!.textContent = Array.isArray(now) && now[0] !== now[1] ? now.join(" × ") : String(one);
    }
    if (named) by<HTMLSelectElement>("op").value = header.op as string;
    show();
  });
}

function grid(plane: Plane, caption: string, name: string, kind = ""): HTMLElement {
  const [height, width] = plane.shape as [number, number];
  const rows = Array.from({ length: height }, (_, r) =>
    make("tr", {}, ...Array.from({ length: width }, (_, c) => make("td", { [`data-${name}`]: r * width + c }, number(plane.data[r * width + c]!)))),
  );
  return make("table", { class: `numbers ${kind}`, "data-grid": name }, make("caption", {}, caption), make("tbody", {}, ...rows));
}

function show(): void {
  if (!told) return;
  const { x, weights, y, dy, dx, numbers, reads } = arrays as Record<string, Plane>;
  const [rows, columns] = told.out as [number, number];
  const pools = told.op === "max" || told.op === "mean";
  const size = told.size as [number, number];
  const formulas = [...new Set(told.formula as string[])];
  by("window-told").textContent =
    `${size.join(" × ")} becomes ${rows} × ${columns}: ${formulas.join(" and ")}. ` +
    `${counted(told.products as number)} ${pools ? "numbers are read" : "products"}${told.parameters ? `, ${told.parameters} weights` : ""}; ` +
    `a window reaches over ${told.reach} pixels, ${told.used} of ${size[0] * size[1]} pixels are used.`;
  by("window-grids").replaceChildren(
    grid(x!, "Picture; the more colour, the more often it is read", "input"), ...(pools ? [] : [grid(weights!, "Weights", "weight", "weights")]), grid(y!, "Output", "output", "outputs"),
  );
  const most = Math.max(1, ...reads!.data);
  by("window-grids").querySelectorAll<HTMLElement>("[data-input]").forEach((cell, i) => {
    cell.style.setProperty("--read", String(Math.round((30 * reads!.data[i]!) / most)));
    cell.title = `read ${reads!.data[i]} times`;
  });
  by("window-backward").replaceChildren(grid(dy!, "Gradient of the output", "from"), grid(dx!, "Gradient of the picture", "to"));
  const [outputs, inputs] = numbers!.shape as [number, number];
  const canvas = by<HTMLCanvasElement>("window-matrix");
  const colours = wheel(Math.max(...weights!.shape) ** 2);
  const pixels = new Uint8ClampedArray(outputs * inputs * 4);
  numbers!.data.forEach((n, i) => pixels.set(n ? [...colours[n - 1]!, 255] : [0, 0, 0, 0], 4 * i));
  paint(canvas, pixels, inputs, outputs);
  const cell = clamp(Math.floor(640 / inputs), 3, 26);
  canvas.style.width = `${inputs * cell}px`;
  canvas.style.height = `${outputs * cell}px`;
  by("window-matrix-told").textContent = `${outputs} × ${inputs}: a row an output, a column a pixel, a colour a weight; ${counted(told.products as number)} of ${counted(told.full as number)} entries are not zero.`;
  light(Math.min(at, rows * columns - 1));
}

/** Show how one output comes about: which inputs, times which weights. */
function light(output: number): void {
  if (!told) return;
  at = output;
  const { x, weights, y, numbers, chosen } = arrays as Record<string, Plane>;
  const inputs = numbers!.shape[1]!;
  const row = numbers!.data.subarray(output * inputs, (output + 1) * inputs);
  const read: [number, number][] = [];
  row.forEach((n, i) => n && read.push([i, n - 1]));
  const grids = by("window-grids");
  for (const cell of grids.querySelectorAll(".lit, .won")) cell.classList.remove("lit", "won");
  const lit = (name: string, i: number, kind = "lit"): void => grids.querySelector(`[data-${name}="${i}"]`)?.classList.add(kind);
  for (const [i, w] of read) {
    lit("input", i);
    lit("weight", w);
  }
  lit("output", output);
  const result = number(y!.data[output]!);
  const columns = (told.out as [number, number])[1];
  const where = `Row ${Math.floor(output / columns)}, column ${output % columns}`;
  let words: string;
  if (told.op === "max") {
    const won = chosen!.data.subarray(output * inputs, (output + 1) * inputs).indexOf(1);
    lit("input", won, "won");
    words = `the largest of ${read.map(([i]) => number(x!.data[i]!)).join(", ")} is ${result}`;
  } else if (told.op === "mean") {
    words = `(${read.map(([i]) => number(x!.data[i]!)).join(" + ")}) / ${weights!.data.length} = ${result}`;
  } else {
    words = `${read.map(([i, w]) => `${number(x!.data[i]!)} × ${number(weights!.data[w]!)}`).join(" + ") || "padding alone"} = ${result}`;
  }
  by("window-products").textContent = `${where}: ${words}.`;
}

interface Described extends Layer {
  parameters: number;
}

function askPattern(): void {
  write(state);
  const spec = by<HTMLInputElement>("spec").value;
  const side = Math.round(Number(by<HTMLInputElement>("side").value));
  wire.ask("pattern", { kind: "pattern", spec, side, channels: 3 }, (header, given) => {
    if (header.error) return void (by("pattern-told").textContent = header.error);
    const layers = header.layers as Described[];
    by("pattern-told").textContent = `${counted(header.parameters as number)} parameters, ${short((header.macs as number | null) ?? 0)} multiply-adds, ${layers.length + (header.left as number)} operations.`;
    const seen = (l: Described): string => l.field.map((a) => (a ? String(a.size) : "all")).join(" × ");
    const pair = (v: (number | null)[]): string => (v.length ? v.map((n) => n ?? "–").join(" × ") : "");
    const cells = (l: Described): (string | number)[] => [l.name, l.op.replaceAll("_", " "), l.shape.join(" × "), pair(l.window), pair(l.stride), seen(l), l.parameters ? counted(l.parameters) : "", l.macs ? short(l.macs) : ""];
    by("pattern-layers").replaceChildren(
      make("caption", { class: "hidden" }, "Layers of the network"),
      make("thead", {}, make("tr", {}, ...["layer", "operation", "output", "window", "stride", "sees, in pixels", "parameters", "multiply-adds"].map((h) => make("th", { scope: "col" }, h)))),
      make("tbody", {}, ...layers.map((l) => make("tr", {}, ...cells(l).map((c, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, String(c)))))),
    );
    const plane = given.used;
    by("pattern-use").hidden = !plane;
    by("pattern-use-told").textContent = "";
    if (plane) {
      const [low, high] = [Math.min(...plane.data), Math.max(...plane.data)];
      paint(by<HTMLCanvasElement>("pattern-use"), coloured(plane.data, low, high), plane.shape[1]!, plane.shape[0]!);
      by("pattern-use-told").textContent = `How many positions of the last layer with positions see each pixel: ${counted(low)} to ${counted(high)}.`;
    }
  });
}

export const windows: View = { id: "windows", label: "Windows", needs: "networks", open };
