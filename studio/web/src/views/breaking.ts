// Break: accuracy along a slider; where it breaks, the layer and channels; one channel's dossier; silenced, the curve again.

import { curves, type Curve } from "../chart";
import { coloured, opaque, paint } from "../colour";
import { by, draw, make } from "../elements";
import { now, percent, signed, state, wire } from "../page";
import { ends } from "../picture";
import { SLIDERS, write, type Slider } from "../state";
import type { View } from "../views";
import type { Plane } from "../wire";

interface Found {
  sentence: string;
  layer: string;
  confirmed: boolean;
  channels: { channel: number; moves: number; takes: number }[];
  curve: { layer: string; failing: number; other: number }[];
}

let lines: Record<string, Curve> = {};
let found: Found | null = null;
let channel: number | null = null;

const slider = (): Slider => SLIDERS.find((s) => s.name === (state.own[".along"] ?? "degrees")) ?? SLIDERS[2]!;
const amount = (): number | null => (state.own[".amount"] === undefined || state.own[".amount"] === "" ? null : Number(state.own[".amount"]));
const ask = (): { network: string; along: string } => ({ network: state.network, along: slider().name });

function open(place: HTMLElement): void {
  if (!now.network?.answers) {
    place.replaceChildren(make("section", {}, make("h2", {}, "Break"), make("p", { class: "hint" }, "This is for networks that give one class an image; choose one above.")));
    return;
  }
  const choices = make("select", { id: "break-along" }, ...SLIDERS.map((s) => make("option", { value: s.name, selected: s === slider() }, s.label)));
  choices.addEventListener("change", () => {
    Object.assign(state.own, { ".along": choices.value, ".amount": "", ".channel": "" });
    begin();
  });
  place.replaceChildren(
    make(
      "section", {}, make("h2", {}, "Where it breaks"), make("label", { class: "choice" }, "Along ", choices),
      make("figure", { class: "chart wide" }, draw("svg", { viewBox: "0 0 360 200", role: "img", id: "break-chart", tabindex: 0 }), make("figcaption", {}, make("span", { id: "break-told", role: "status" }))),
      make("p", { class: "hint" }, "Click the curve where it has fallen, or go along it with the arrow keys: what fails there is looked for."),
      make("ul", { id: "break-legend", class: "legend", "aria-label": "Curves" }),
    ),
    make(
      "section", { id: "break-found", hidden: true }, make("h2", {}, "What fails"), make("p", { id: "break-sentence", role: "status" }),
      make("div", { id: "break-layers", class: "moves" }), make("div", { id: "break-channels", class: "marks", role: "group", "aria-label": "Channels that carry the failure" }),
      make("div", { class: "row", id: "break-silence", hidden: true }, silencer("Silence these channels", () => found?.channels.map((c) => c.channel) ?? []), silencer("Silence this channel alone", () => (channel === null ? [] : [channel]))),
    ),
    make("section", { id: "break-dossier", hidden: true }, make("h2", { id: "dossier-title" }, "One channel"), make("p", { id: "dossier-told", "aria-live": "polite" }), make("div", { id: "dossier", class: "dossier" })),
  );
  by("break-chart").addEventListener("keydown", (event) => {
    const points = lines.whole?.points.map(([v]) => v) ?? [];
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step || !points.length) return;
    event.preventDefault();
    const still = slider().still;
    const from = amount() ?? still;
    const nearest = points.reduce((best, v, i) => (Math.abs(v - from) < Math.abs(points[best]! - from) ? i : best), 0);
    pick(points[Math.min(points.length - 1, Math.max(0, nearest + step))]!);
  });
  begin();
}

function silencer(words: string, which: () => number[]): HTMLElement {
  const button = make("button", { type: "button" }, words);
  button.addEventListener("click", () => which().length && silence(which()));
  return button;
}

function begin(): void {
  write(state);
  lines = {};
  found = null;
  by("break-found").hidden = true;
  by("break-dossier").hidden = true;
  for (const name of ["silenced", "random", "dossier", "located"]) wire.cancel(name);
  let sought = false;
  follow("whole", "as it is", "", {}, () => {
    const kept = amount();
    if (kept !== null && !sought) pick(kept);
    sought = true;
  });
}

/** Draw one more curve, as it is measured. */
function follow(id: string, name: string, kind: string, more: Record<string, unknown>, done?: () => void): void {
  wire.ask(id, { kind: "broken", ...ask(), ...more }, (header, arrays) => {
    if (header.error) return void (by("break-told").textContent = header.error);
    const plane = arrays.points!;
    const rows = Array.from({ length: plane.shape[0]! }, (_, i) => [...plane.data.subarray(5 * i, 5 * i + 5)] as [number, number, number, number, number]);
    lines[id] = { name, kind, points: rows.map(([a, b]) => [a, b]), band: id === "whole" ? rows.map(([, , low, high]) => [low, high]) : undefined };
    const seen = Math.min(...rows.map((r) => r[4]));
    draws(`Accuracy on ${header.of} images${seen < (header.of as number) ? `, ${seen} of them looked at so far` : ""}${id === "whole" ? ", with 95 % intervals" : ""}.`);
    if (rows.length >= 5) done?.();
  });
}

function draws(words: string): void {
  const all = Object.values(lines);
  curves(by<SVGSVGElement>("break-chart"), all, slider(), "Accuracy", amount(), pick);
  by("break-told").textContent = words;
  by("break-legend").replaceChildren(
    ...(all.length > 1 ? all.map((c) => make("li", {}, draw("svg", { viewBox: "0 0 22 10", "aria-hidden": "true", class: "key" }, draw("line", { x1: 0, x2: 22, y1: 5, y2: 5, class: `curve ${c.kind ?? ""}` })), c.name)) : []),
  );
}

function pick(value: number): void {
  state.own[".amount"] = String(Number(value.toFixed(4)));
  write(state);
  delete lines.silenced;
  delete lines.random;
  wire.cancel("silenced");
  wire.cancel("random");
  draws(by("break-told").textContent ?? "");
  by("break-found").hidden = false;
  by("break-sentence").textContent = "Looking for what fails …";
  found = null;
  showFound(); // nothing is silenced, and no channel shown, of what was found before
  wire.ask("located", { kind: "located", ...ask(), amount: value }, (header) => {
    if (header.error) return void (by("break-sentence").textContent = header.error);
    found = header.found as Found | null;
    const [of, clean, right] = [header.of, header.clean, header.right] as [number, number, number];
    const counts = `At ${slider().label.toLowerCase()} ${slider().unit(value)}, ${right} of ${of} images are right; as they are, ${clean}. `;
    by("break-sentence").textContent = counts + (found ? found.sentence : "Too few images became wrong to say through what.");
    showFound();
  });
}

function showFound(): void {
  by("break-silence").hidden = !found?.channels.length;
  if (!found) by("break-dossier").hidden = true;
  const most = Math.max(1e-9, ...(found?.curve ?? []).flatMap((c) => [c.failing, c.other]));
  by("break-layers").replaceChildren(
    ...(found?.curve ?? []).map((c) => {
      const bar = draw(
        "svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
        draw("rect", { y: 1, width: (100 * c.failing) / most, height: 5, class: "less" }), draw("rect", { y: 7, width: (100 * c.other) / most, height: 4, class: "fill" }),
      );
      return make("div", { class: c.layer === found!.layer ? "entry" : "" }, make("span", { class: "name" }, c.layer), bar, make("span", { class: "share" }, `${c.failing.toFixed(2)} / ${c.other.toFixed(2)}`));
    }),
    ...(found ? [make("p", { class: "hint" }, "How far each layer's channels move, in their usual spread: where it fails (above) and where it does not (below). The failure enters at the one that is marked.")] : []),
  );
  by("break-channels").replaceChildren(
    ...(found?.channels ?? []).map((c) => {
      const b = make("button", { type: "button", "aria-pressed": "false", "data-channel": c.channel }, `channel ${c.channel}`);
      b.title = `moves ${c.moves.toFixed(2)}, takes ${signed(c.takes)} from the margin`;
      b.addEventListener("click", () => dossier(c.channel));
      return b;
    }),
  );
  const kept = Number(state.own[".channel"] || "-1");
  if (found?.channels.length) dossier(found.channels.some((c) => c.channel === kept) ? kept : found.channels[0]!.channel);
}

function silence(channels: number[]): void {
  if (!found) return;
  const words = channels.length === 1 ? `channel ${channels[0]} silenced` : `${channels.length} channels silenced`;
  follow("silenced", words, "second", { layer: found.layer, channels });
  follow("random", channels.length === 1 ? "a random channel silenced" : "as many random ones silenced", "third", { layer: found.layer, channels, random: true });
}

// One channel

function dossier(which: number): void {
  channel = which;
  state.own[".channel"] = String(which);
  write(state);
  for (const b of by("break-channels").querySelectorAll<HTMLElement>("button")) b.setAttribute("aria-pressed", String(Number(b.dataset.channel) === which));
  by("break-dossier").hidden = false;
  by("dossier-title").textContent = `Channel ${which} of ${found!.layer}`;
  by("dossier-told").textContent = "Measuring …";
  by("dossier").replaceChildren();
  const said: Record<string, string> = {};
  wire.ask("dossier", { kind: "dossier", network: state.network, layer: found!.layer, unit: which }, (header, arrays) => {
    if (header.error) return void (by("dossier-told").textContent = header.error);
    const part = header.part as string;
    const made = parts[part]?.(header, arrays);
    if (!made) return;
    said[part] = made.words;
    const old = by("dossier").querySelector(`[data-part=${part}]`);
    const figure = make("figure", { "data-part": part }, ...made.inside, make("figcaption", {}, made.caption));
    if (old && old !== figure) old.replaceWith(figure);
    else if (!old) by("dossier").append(figure);
    by("dossier-told").textContent = Object.values(said).join(" ");
  });
}

interface Made {
  words: string;
  caption: string;
  inside: Node[];
}
type Maker = (header: Record<string, unknown>, arrays: Record<string, Plane>) => Made;

const tiles = (canvases: HTMLCanvasElement[]): HTMLElement => make("div", { class: "tiles" }, ...canvases);

function planeCanvas(plane: Plane): HTMLCanvasElement {
  const canvas = make("canvas", { "aria-hidden": "true" });
  paint(canvas, opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
  return canvas;
}

const parts: Record<string, Maker> = {
  kernel(header, arrays) {
    const plane = arrays.kernel!;
    const [n, h, w] = plane.shape as [number, number, number];
    const [low, high] = ends(plane.data);
    const canvases = Array.from({ length: n }, (_, i) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      paint(canvas, coloured(plane.data.subarray(i * h * w, (i + 1) * h * w), Math.min(low, -1e-9), Math.max(high, 1e-9)), w, h);
      return canvas;
    });
    const depth = header.depth as number;
    return { words: "", caption: depth > n ? `Its kernel: the ${n} of ${depth} input channels with the largest weights` : "Its kernel, an input channel each", inside: [tiles(canvases)] };
  },
  crops(header, arrays) {
    const all = header.crops as { response: number; truth: string }[];
    const preferred = header.preferred as string | null | undefined;
    const canvases = all.map((c, i) => {
      const canvas = planeCanvas(arrays[`crop${i}`]!);
      canvas.title = `${c.truth}: ${c.response.toFixed(2)}`;
      return canvas;
    });
    const active = `It is active at ${percent(header.active as number)} of the places`;
    const words = all.length ? `${active}; the strongest crops are of ${[...new Set(all.map((c) => c.truth))].join(", ")}.` : "No image drives it.";
    return { words: preferred ? `${words} It prefers ${preferred} (selectivity ${(header.selectivity as number).toFixed(2)}).` : words, caption: "What drives it most, in the images with labels", inside: [tiles(canvases)] };
  },
  tuning(header, arrays) {
    const kind = header.kind as string;
    if (!arrays.response) return { words: "No grating drives it.", caption: "No grating drives it", inside: [] };
    const at = [...arrays.orientation!.data];
    const response = [...arrays.response.data];
    const most = Math.max(...response, 1e-9);
    const points = at.map((a, i): [number, number] => [a, response[i]! / most]);
    const svg = draw("svg", { viewBox: "0 0 360 200", role: "img" });
    curves(svg, [{ name: "response", points }], { label: "Orientation of a grating", low: 0, high: 180, unit: (v) => `${Math.round(v)}°` }, "Response to gratings, of its largest", null);
    return { words: `A ${kind} unit, tuned to ${Math.round(header.orientation as number)}° at ${(header.frequency as number).toFixed(2)} cycles a pixel.`, caption: `Its tuning: ${kind}`, inside: [svg] };
  },
  synthesis(header, arrays) {
    const plane = arrays.images!;
    const [n, h, w, c] = plane.shape as [number, number, number, number];
    const canvases = Array.from({ length: n }, (_, i) => planeCanvas({ shape: [h, w, c], data: plane.data.subarray(i * h * w * c, (i + 1) * h * w * c) }));
    const [steps, of] = [header.steps as number, header.of_steps as number];
    const grown = `from ${(header.start as number).toFixed(2)} to ${(header.end as number).toFixed(2)}`;
    return { words: steps === of ? `Images made for it drive it ${grown}.` : "", caption: `Images that form to drive it: step ${steps} of ${of}, ${grown}`, inside: [tiles(canvases)] };
  },
};

export const breaking: View = {
  id: "break",
  label: "Break",
  needs: "network",
  open,
  close() {
    for (const name of ["whole", "silenced", "random", "dossier", "located"]) wire.cancel(name);
  },
};
