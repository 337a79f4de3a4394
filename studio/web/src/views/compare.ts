// Compare: two or three networks on the same images, those first that one gets right and another wrong; a box hides in all at once.

import { barOf, showDrawing } from "../answer";
import { opaque, paint } from "../colour";
import { by, draw, listbox, make, select } from "../elements";
import { clamp, complain, nets, percent, state, wire, type Score } from "../page";
import { pixelAt } from "../picture";
import { write } from "../state";
import type { View } from "../views";
import type { Arrays, Header, Plane } from "../wire";

interface Told {
  id: string;
  name: string;
  right?: number;
  low: number;
  high: number;
  gain?: [number, number, number];
}
interface Listed {
  id: string;
  name: string;
  truth: string | null;
  said: { name: string; share: number }[];
  right: string; // a mark a network
}
type Part = [number, number]; // begin and end along a side, as shares of it

const HIDES = 0.22; // of the sides: the box that hides
let networks: Told[] = [];
let images: Listed[] = [];
let counts: Record<string, number> = {};
let thumbnails: Arrays = {};
let box: [Part, Part] | null = null; // rows and columns
let dragged = false;

const chosen = (): string[] => {
  const known = (state.own[".with"] ?? "").split(",").filter((id) => nets.some((n) => n.id === id));
  return (known.length >= 2 ? known : nets.map((n) => n.id)).slice(0, known.length >= 2 ? 3 : 2);
};
const shownImages = (): Listed[] => images.filter((i) => !state.own[".marks"] || i.right === state.own[".marks"]);

function open(place: HTMLElement): void {
  if (nets.length < 2) {
    place.replaceChildren(make("section", {}, make("h2", {}, "Compare"), make("p", { class: "hint" }, "Start the studio with two or three runs to compare them: striate studio runs/a runs/b")));
    return;
  }
  const boxes = nets.map((n) => {
    const check = make("input", { type: "checkbox", value: n.id, checked: chosen().includes(n.id) });
    check.addEventListener("change", () => {
      const all = [...place.querySelectorAll<HTMLInputElement>("fieldset input:checked")].map((c) => c.value);
      if (all.length > 3) check.checked = false;
      if (all.length < 2 || all.length > 3) return complain("Two or three networks are compared.");
      complain("");
      Object.assign(state.own, { ".with": all.join(","), ".image": "", ".marks": "" });
      ask();
    });
    return make("label", { class: "tick-box" }, check, n.name);
  });
  place.replaceChildren(
    make(
      "section", {}, make("h2", {}, "Compare"),
      make("fieldset", { class: "ticks" }, make("legend", { class: "hidden" }, "Networks"), ...boxes),
      make("p", { id: "compare-told", class: "hint", role: "status" }, "Looking at the images …"),
      make("div", { id: "compare-scores" }), make("div", { id: "compare-marks", class: "marks", role: "group", "aria-label": "Which images" }),
      make("div", { id: "compare-images", class: "grid-strip", role: "listbox", "aria-label": "Images", tabindex: 0 }),
    ),
    make(
      "section", {}, make("h2", {}, "One image in each"),
      make("p", { id: "compare-image", class: "hint", "aria-live": "polite" }),
      make("div", { id: "panels", class: "panels", role: "application", tabindex: 0, "aria-label": "The image in each network; arrow keys move what hides, Escape takes it away", "aria-describedby": "compare-image" }),
      make("p", { class: "hint" }, "Point at one: the same place is marked in all. Press and drag to hide it in all; arrow keys do the same, Escape takes the box away."),
    ),
  );
  listbox(by("compare-images"), (option) => choose(option.dataset.id ?? ""));
  by("panels").addEventListener("keydown", key);
  ask();
}

function ask(): void {
  write(state);
  wire.ask("compare", { kind: "compare", networks: chosen() }, (header, arrays) => {
    if (header.error) return void (by("compare-told").textContent = header.error);
    networks = header.networks as Told[];
    images = header.images as Listed[];
    counts = (header.counts as Record<string, number> | undefined) ?? {};
    thumbnails = arrays;
    const of = header.of as number;
    by("compare-told").textContent = of ? `${of} ${header.seen}.` : `${header.seen as string}.`;
    showScores(of);
    showMarks();
    showImages();
    makePanels();
    const known = images.find((i) => i.id === state.own[".image"]) ?? shownImages()[0];
    if (known) choose(known.id);
  });
}

function showScores(of: number): void {
  if (!of) return by("compare-scores").replaceChildren();
  const rows = networks.map((n) => {
    const share = (n.right ?? 0) / of;
    const bar = draw(
      "svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("rect", { width: 100, height: 10, class: "track" }), draw("rect", { width: 100 * share, height: 10, class: "fill" }),
      draw("rect", { x: 100 * n.low, y: 4, width: 100 * (n.high - n.low), height: 2, class: "before" }),
    );
    const gain = n.gain ? `${(100 * n.gain[0]).toFixed(1)} points against the first, ${(100 * n.gain[1]).toFixed(1)} to ${(100 * n.gain[2]).toFixed(1)} with 95 % confidence` : "";
    return make("li", {}, make("span", { class: "name" }, n.name), bar, make("span", { class: "share" }, percent(share)), make("span", { class: "gain" }, gain));
  });
  by("compare-scores").replaceChildren(make("ul", { class: "scores", "aria-label": "Images that each gets right" }, ...rows));
}

function showMarks(): void {
  const words = (marks: string): string => {
    const right = networks.filter((_, i) => marks[i] === "+").map((n) => n.name);
    if (right.length === networks.length) return "All right";
    return right.length ? `Only ${right.join(" and ")} right` : "All wrong";
  };
  const button = (marks: string, text: string): HTMLElement => {
    const b = make("button", { type: "button", "aria-pressed": String((state.own[".marks"] ?? "") === marks) }, text);
    b.addEventListener("click", () => {
      state.own[".marks"] = marks;
      write(state);
      showMarks();
      showImages();
      const first = shownImages()[0];
      if (first) choose(first.id);
    });
    return b;
  };
  const kinds = Object.entries(counts).sort(([a], [b]) => Number(a.includes("+") && a.includes("-")) < Number(b.includes("+") && b.includes("-")) ? 1 : -1);
  by("compare-marks").replaceChildren(...(kinds.length ? [button("", "Those first where they differ"), ...kinds.map(([m, n]) => button(m, `${words(m)} (${n})`))] : []));
}

function showImages(): void {
  by("compare-images").replaceChildren(
    ...shownImages().map((i) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      const plane = thumbnails[i.id];
      if (plane) paint(canvas, opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
      const words = sentence(i);
      return make("div", { role: "option", "data-id": i.id, "aria-selected": "false", title: words }, canvas, make("span", { class: "ticks-shown", "aria-hidden": "true" }, i.right.replaceAll("+", "✓").replaceAll("-", "✗")), make("span", { class: "hidden" }, words));
    }),
  );
}

function sentence(i: Listed): string {
  const said = i.said.map((s, k) => (s.name ? `${networks[k]?.name} says ${s.name} (${percent(s.share)})` : "")).filter(Boolean);
  return `${i.name}${i.truth ? `, labelled ${i.truth}` : ""}: ${said.join("; ")}.`;
}

function makePanels(): void {
  by("panels").replaceChildren(
    ...networks.map((n, k) => {
      const place = make("div", { class: "picture panel-picture", "data-of": n.id }, make("canvas", { "aria-hidden": "true" }), make("canvas", { class: "mask", "aria-hidden": "true", hidden: true }), draw("svg", { class: "over drawn", "aria-hidden": "true" }), draw("svg", { class: "over", viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" }));
      const at = (event: PointerEvent): [number, number] => pixelAt(event, place, 1000, 1000).map((v) => (v + 0.5) / 1000) as [number, number];
      place.addEventListener("pointerdown", (event) => {
        place.setPointerCapture(event.pointerId);
        dragged = true;
        put(...at(event));
      });
      place.addEventListener("pointermove", (event) => (dragged ? put(...at(event)) : cross(...at(event))));
      place.addEventListener("pointerup", () => (dragged = false));
      place.addEventListener("pointercancel", () => (dragged = false));
      place.addEventListener("pointerleave", () => mark());
      return make("figure", { class: "panel", "data-of": n.id }, make("figcaption", {}, n.name), place, make("div", { class: "bars", id: `panel-bars-${k}` }));
    }),
  );
}

function marksOver(...marks: (() => SVGElement)[]): void {
  for (const over of by("panels").querySelectorAll("svg.over:not(.drawn)")) over.replaceChildren(...marks.map((m) => m()));
}

/** The box that hides, in every panel. */
function mark(): void {
  if (!box) return marksOver();
  const [[top, bottom], [left, right]] = box;
  marksOver(() => draw("rect", { x: left, y: top, width: right - left, height: bottom - top, class: "hidden-box" }));
}

function cross(row: number, column: number): void {
  marksOver(
    () => draw("line", { x1: column, x2: column, y1: 0, y2: 1, class: "cross" }), () => draw("line", { x1: 0, x2: 1, y1: row, y2: row, class: "cross" }),
    ...(box ? [() => draw("rect", { x: box![1][0], y: box![0][0], width: box![1][1] - box![1][0], height: box![0][1] - box![0][0], class: "hidden-box" })] : []),
  );
}

/** Hide around a place, in shares of the sides. */
function put(row: number, column: number): void {
  const span = (v: number): Part => {
    const first = clamp(v - HIDES / 2, 0, 1 - HIDES);
    return [first, first + HIDES];
  };
  box = [span(row), span(column)];
  mark();
  look();
}

function key(event: KeyboardEvent): void {
  const steps: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const way = steps[event.key];
  if (event.key === "Escape") {
    box = null;
    mark();
    look();
  } else if (way) {
    event.preventDefault();
    const middle = box ? [(box[0][0] + box[0][1]) / 2, (box[1][0] + box[1][1]) / 2] : [0.5, 0.5];
    put(middle[0]! + (box ? way[0] * 0.04 : 0), middle[1]! + (box ? way[1] * 0.04 : 0));
  }
}

function choose(id: string): void {
  state.own[".image"] = id;
  write(state);
  select(by("compare-images"), by("compare-images").querySelector<HTMLElement>(`[data-id="${CSS.escape(id)}"]`) ?? undefined);
  const image = images.find((i) => i.id === id);
  by("compare-image").textContent = image ? sentence(image) : "";
  look();
}

/** Ask every network about the image as it stands, and show what each says. */
function look(): void {
  const picture = state.own[".image"];
  if (!picture) return;
  networks.forEach((n, k) => {
    const asked = { network: n.id, picture };
    const size = sizes.get(n.id);
    if (box && size) {
      wire.follow(`panel-${k}`, { kind: "occlude", ...asked, box: inPixels(size), fill: "grey" }, (header, arrays) => show(k, header, arrays));
    } else {
      wire.follow(`panel-${k}`, { kind: "picture", ...asked }, (header, arrays) => show(k, header, arrays));
    }
  });
}

const sizes = new Map<string, [number, number]>();
const before = new Map<string, Score[]>();

function inPixels([height, width]: [number, number]): [Part, Part] {
  const span = ([a, b]: Part, n: number): Part => {
    const first = Math.min(n - 1, Math.round(a * n));
    return [first, Math.min(n, Math.max(first + 1, Math.round(b * n)))];
  };
  return [span(box![0], height), span(box![1], width)];
}

function show(k: number, header: Header, arrays: Arrays): void {
  const n = networks[k];
  const panel = by("panels").children[k] as HTMLElement | undefined;
  if (!n || !panel) return;
  if (header.error) return complain(header.error);
  const [canvas, mask] = panel.querySelectorAll("canvas") as unknown as [HTMLCanvasElement, HTMLCanvasElement];
  const plane: Plane | undefined = arrays.pixels;
  if (plane) {
    const [height, width, channels] = plane.shape as [number, number, number];
    paint(canvas, opaque(plane.data, channels), width, height);
    sizes.set(n.id, [height, width]);
    showDrawing(header, arrays, panel.querySelector("svg.drawn")!, mask, [height, width]);
  }
  const top = (header.top as Score[] | undefined) ?? [];
  if (!box) before.set(n.id, top);
  const bars = panel.querySelector<HTMLElement>(".bars")!;
  bars.replaceChildren(
    ...top.slice(0, 5).map((s) => {
      const bar = barOf(s, box ? before.get(n.id)?.find((b) => b.class === s.class) : undefined);
      for (const name of ["role", "aria-selected", "data-class"]) bar.removeAttribute(name);
      return bar;
    }),
  );
}

export const compare: View = { id: "compare", label: "Compare", needs: "networks", open };
