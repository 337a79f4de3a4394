// Training: what each epoch brought, the network at any epoch that was kept, and a training that is under way.

import { barOf } from "../answer";
import { curves, type Curve } from "../chart";
import { coloured, opaque, paint } from "../colour";
import { by, counted, draw, make } from "../elements";
import { nets, now, percent, state, wire, type Score } from "../page";
import { ends } from "../picture";
import { write } from "../state";
import type { View } from "../views";
import type { Plane } from "../wire";

type Row = Record<string, number | null>;
interface Live {
  step: number;
  total: number;
  steps_per_epoch: number;
  loss: number;
  parts: Record<string, number>;
  images_per_second: number;
  seconds_left: number;
  paused: boolean;
  rate: number;
  losses: [number, number][];
}

let kept: number[] = [];
let live: Live | null = null;
let over = false; // nothing more will come
let rows: Row[] = [];
let metrics: string[] = [];
let timer = 0;
let looked = ""; // at which network the sections below were filled

const base = (): string => state.network.split("@")[0]!;
const epoch = (): number | null => (state.own[".epoch"] ? Number(state.own[".epoch"]) : null);
/** The network at the epoch that is chosen. */
const at = (): string => (epoch() === null ? base() : `${base()}@${epoch()}`);

function open(place: HTMLElement): void {
  place.replaceChildren(
    make(
      "section", {}, make("h2", {}, "Training"), make("p", { id: "training-told", role: "status" }),
      make("div", { id: "training-steer", class: "row", hidden: true }),
      make("div", { id: "training-charts", class: "dossier" }),
    ),
    make(
      "section", { id: "training-epoch", hidden: true }, make("h2", {}, "The network at an epoch"),
      make("div", { class: "slider wide-slider" }, make("label", { for: "epoch" }, "Epoch"), make("input", { type: "range", id: "epoch", min: 0, step: 1 }), make("output", { for: "epoch", id: "epoch-told" })),
      make(
        "div", { class: "dossier" },
        make("figure", {}, make("div", { class: "row" }, make("canvas", { id: "epoch-picture", class: "epoch-picture", "aria-hidden": "true" }), make("div", { id: "epoch-bars", class: "bars grows" })), make("figcaption", { id: "epoch-picture-told" })),
        make("figure", {}, make("div", { id: "epoch-filters", class: "tiles" }), make("figcaption", { id: "epoch-filters-told" })),
        make("figure", {}, make("div", { id: "epoch-maps", class: "tiles" }), make("figcaption", { id: "epoch-maps-told" })),
      ),
    ),
    make(
      "section", { id: "training-confusion", hidden: true }, make("h2", {}, "What it takes for what"), make("p", { id: "confusion-told", class: "hint" }),
      make("div", { class: "scrolled", tabindex: 0, role: "group", "aria-label": "Confusion" }, make("table", { id: "confusion", class: "confusion" })),
      make("h3", {}, "The hardest images"), make("ul", { id: "hardest", class: "hardest" }),
    ),
  );
  by<HTMLInputElement>("epoch").addEventListener("input", (event) => {
    state.own[".epoch"] = String(kept[Number((event.target as HTMLInputElement).value)] ?? "");
    write(state);
    look();
  });
  looked = "";
  over = false;
  refresh();
  clearInterval(timer);
  timer = window.setInterval(() => {
    if (!document.hidden && !over) refresh();
  }, 300);
}

function refresh(): void {
  wire.ask("history", { kind: "history", network: base() }, (header) => {
    if (header.error) over = true;
    if (header.error) return void (by("training-told").textContent = header.error);
    rows = header.rows as Row[];
    metrics = header.metrics as string[];
    const newest = kept[kept.length - 1];
    kept = header.kept as number[];
    // Who looks at the newest epoch goes on to look at the newest.
    if (newest !== undefined && epoch() === newest) state.own[".epoch"] = String(kept[kept.length - 1]);
    live = header.live as Live | null;
    over = header.finished as boolean;
    tell(header.finished as boolean, header.seconds as number | null);
    steering();
    charts();
    const slider = by<HTMLInputElement>("epoch");
    slider.max = String(Math.max(0, kept.length - 1));
    by("training-epoch").hidden = !kept.length;
    if (kept.length && (epoch() === null || !kept.includes(epoch()!))) state.own[".epoch"] = String(kept[kept.length - 1]);
    slider.value = String(Math.max(0, kept.indexOf(epoch() ?? -1)));
    if (kept.length || header.finished) look();
  });
}

function tell(finished: boolean, seconds: number | null): void {
  const last = rows[rows.length - 1];
  const reached = last ? `${rows.length} epochs; ${metrics.filter((m) => m.startsWith("val_")).map((m) => `${m.slice(4)} ${Number((last[m] ?? NaN).toPrecision(4))}`).join(", ") || "no validation"}` : "no epoch is over yet";
  if (live) {
    const parts = Object.entries(live.parts).map(([name, v]) => `${name} ${v.toFixed(3)}`);
    by("training-told").textContent =
      `${live.paused ? "Paused at" : "Under way:"} step ${counted(live.step)} of ${counted(live.total)}, epoch ${(live.step / live.steps_per_epoch).toFixed(1)}; ` +
      `loss ${live.loss.toFixed(3)}${parts.length ? `, ${parts.join(", ")}` : ""}; ${live.images_per_second.toFixed(0)} images a second, about ${Math.round(live.seconds_left)} s left. So far ${reached}.`;
  } else {
    by("training-told").textContent = `${finished ? "Over" : "Not under way"}: ${reached}${seconds ? `, in ${Math.round(seconds)} s` : ""}.${kept.length ? "" : " No epoch was kept; train with --set snapshots=20 to look at the network at each."}`;
  }
}

function steering(): void {
  const place = by("training-steer");
  place.hidden = !live;
  if (!live) return;
  const button = (words: string, wish: Record<string, unknown>): HTMLElement => {
    const b = make("button", { type: "button", "data-wish": Object.keys(wish)[0]! }, words);
    b.addEventListener("click", () => wire.ask("steer", { kind: "steer", network: base(), ...wish }, (header) => header.error && (by("training-told").textContent = header.error)));
    return b;
  };
  const focused = place.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset.wish : null;
  place.replaceChildren(
    live.paused ? button("Go on", { pause: false }) : button("Pause", { pause: true }), button("Stop here", { stop: true }),
    button("Halve the learning rate", { rate: live.rate / 2 }), make("span", { class: "hint" }, live.rate === 1 ? "" : `at ${percent(live.rate)} of its learning rate`),
  );
  if (focused) place.querySelector<HTMLElement>(`[data-wish=${focused}]`)?.focus();
}

/** A chart for each number that is measured in training or validation. */
function charts(): void {
  const names = [...new Set(metrics.map((m) => m.replace(/^(train|val)_/, "")))];
  const figures = names.flatMap((name) => {
    const line = (kind: string, style: string): Curve[] => {
      const points = rows.flatMap((r): [number, number][] => (r[`${kind}_${name}`] == null ? [] : [[r.epoch!, r[`${kind}_${name}`]!]]));
      return points.length ? [{ name: kind === "val" ? "validation" : "training", points, kind: style }] : [];
    };
    const all = [...line("val", ""), ...line("train", "second")];
    const values = all.flatMap((c) => c.points.map(([, v]) => v));
    if (!values.length) return [];
    const shares = name !== "loss" && values.every((v) => v >= 0 && v <= 1);
    const along = { label: "epoch", low: Math.min(...rows.map((r) => r.epoch!)), high: Math.max(...rows.map((r) => r.epoch!)), unit: (v: number) => String(v), counted: true, ...(shares ? {} : { most: Math.max(...values) || 1 }) };
    return [figure(`${name}`, all, along, epoch())];
  });
  if (live && live.losses.length > 1) {
    const points = live.losses;
    figures.push(figure("loss, step by step", [{ name: "loss", points, kind: "second" }], { label: "step", low: points[0]![0], high: points[points.length - 1]![0], unit: (v) => counted(Math.round(v)), most: Math.max(...points.map(([, v]) => v)) || 1 }, null));
  }
  by("training-charts").replaceChildren(...figures);
}

function figure(name: string, all: Curve[], along: Parameters<typeof curves>[2], mark: number | null): HTMLElement {
  const svg = draw("svg", { viewBox: "0 0 360 200", role: "img" });
  curves(svg, all, along, name, mark);
  const legend = all.map((c) => `${c.name} ${c.kind === "second" ? "in orange" : "in blue"}`).join(", ");
  return make("figure", {}, svg, make("figcaption", {}, all.length > 1 ? `${name}: ${legend}` : name));
}

/** The network as it was, on the picture that is chosen. */
function look(): void {
  const network = at();
  by("epoch-told").textContent = String(epoch() ?? "");
  if (looked === network) return;
  looked = network;
  charts();
  wire.ask("epoch-picture", { kind: "picture", network, picture: state.picture || "s0" }, (header, arrays) => {
    if (header.error) return void (by("epoch-picture-told").textContent = header.error);
    const plane = arrays.pixels;
    if (plane) paint(by<HTMLCanvasElement>("epoch-picture"), opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
    const top = (header.top as Score[] | undefined) ?? [];
    by("epoch-bars").replaceChildren(
      ...top.slice(0, 5).map((s) => {
        const bar = barOf(s);
        for (const name of ["role", "aria-selected", "data-class"]) bar.removeAttribute(name);
        return bar;
      }),
    );
    const lines = (header.lines as string[][] | undefined)?.map((l) => l.join(" ")).join("; ");
    by("epoch-picture-told").textContent = `${header.name}${header.truth ? `, labelled ${header.truth}` : ""}: ${top[0] ? `${top[0].name} (${percent(top[0].share)})` : (lines ?? "")}`;
  });
  wire.ask("filters", { kind: "filters", network }, (header, arrays) => {
    if (header.error) return void (by("epoch-filters-told").textContent = header.error);
    by("epoch-filters").replaceChildren(...tilesOf(arrays.filters!));
    by("epoch-filters-told").textContent = `The ${header.count} filters of ${header.layer}`;
  });
  const layer = state.layer || now.network?.layers[0]?.name;
  if (layer) {
    wire.ask("epoch-maps", { kind: "maps", network, picture: state.picture || "s0", layer, first: 0 }, (header, arrays) => {
      if (header.error) return void (by("epoch-maps-told").textContent = header.error);
      const plane = arrays.maps!;
      by("epoch-maps").replaceChildren(...tilesOf(plane, 32));
      by("epoch-maps-told").textContent = `Maps of ${layer}`;
    });
  }
  wire.ask("confusion", { kind: "confusion", network }, (header, arrays) => {
    by("training-confusion").hidden = !!header.error;
    if (header.error) return;
    showConfusion(header.classes as string[], arrays.counts!, `${header.seen} of ${header.of} images`);
    const hardest = header.hardest as { id: string; label: string; said: string; share: number }[];
    by("hardest").replaceChildren(
      ...hardest.map((h) => {
        const canvas = make("canvas", { "aria-hidden": "true" });
        const plane = arrays[h.id];
        if (plane) paint(canvas, opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
        return make("li", {}, canvas, `${h.label} taken for ${h.said}, ${percent(h.share)} for its label`);
      }),
    );
  });
}

function tilesOf(plane: Plane, most = 64): HTMLCanvasElement[] {
  const [n, h, w] = plane.shape as [number, number, number];
  const colours = plane.shape.length === 4 && plane.shape[3] === 3;
  const size = plane.data.length / n;
  const [low, high] = ends(plane.data);
  return Array.from({ length: Math.min(n, most) }, (_, i) => {
    const canvas = make("canvas", { "aria-hidden": "true" });
    const part = plane.data.subarray(i * size, (i + 1) * size);
    paint(canvas, colours ? opaque(part, 3) : coloured(part, low, high), w, h);
    return canvas;
  });
}

function showConfusion(classes: string[], plane: Plane, seen: string): void {
  const k = classes.length;
  const table = by("confusion");
  by("confusion-told").textContent = k > 40 ? `${seen}. There are ${k} classes, too many for a table; the hardest images are below.` : `Rows are labels, columns what the network says; ${seen}.`;
  if (k > 40) return table.replaceChildren();
  const most = Math.max(1, ...plane.data);
  table.replaceChildren(
    make("thead", {}, make("tr", {}, make("td", {}), ...classes.map((c) => make("th", { scope: "col" }, c)))),
    make("tbody", {}, ...classes.map((c, i) => make("tr", {}, make("th", { scope: "row" }, c), ...classes.map((_, j) => {
      const n = plane.data[i * k + j]!;
      const cell = make("td", { class: i === j ? "right" : n ? "wrong" : "" }, n ? String(n) : "");
      cell.style.setProperty("--read", String(Math.round((45 * n) / most)));
      return cell;
    })))),
  );
}

export const training: View = {
  id: "training",
  label: "Training",
  needs: "networks",
  open(place) {
    if (nets.length) open(place);
  },
  known() {
    looked = "";
    if (kept.length || rows.length) refresh();
  },
  close() {
    clearInterval(timer);
    for (const name of ["confusion", "history", "filters", "epoch-maps", "epoch-picture"]) wire.cancel(name);
  },
};
