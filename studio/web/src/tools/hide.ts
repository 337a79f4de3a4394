// Hide: a box over the picture that a person drags; the answer follows, and the occlusion map of all places.

import { showSaid, tell } from "../answer";
import { coloured } from "../colour";
import { counted, draw, make } from "../elements";
import { askMaps, showPart, withMaps, type Told } from "../layers";
import { asked, clamp, input, nameOf, now, state, target, wire, type Tool } from "../page";
import { ends, imageOf, overlay, rectangle, say, showPixels } from "../picture";
import { FILLS, write, type State } from "../state";
import type { Plane } from "../wire";

let drops: { plane: Plane; patch: [number, number]; stride: [number, number]; of: string } | null = null;
let held: { row: number; column: number; resize: boolean } | null = null;

const whose = (): string => [state.network, state.picture, state.fill, state.other, target()].join();
const filled = (): Record<string, unknown> => ({ box: state.box, fill: state.fill, ...(state.fill === "picture" ? { other: state.other } : {}) });

function drawn(): void {
  const box = state.box;
  if (!box) return;
  const [[top, bottom], [left, right]] = box;
  const marks: SVGElement[] = drops?.of === whose() ? [dropMap()] : [];
  const kind = `hidden-box ${state.fill}`;
  overlay(...marks, rectangle([top, bottom - 1], [left, right - 1], kind), draw("circle", { cx: right, cy: bottom, r: input()[2] / 45, class: "grip" }));
}

function dropMap(): SVGElement {
  const { plane, patch, stride } = drops!;
  const [rows, columns] = plane.shape as [number, number];
  // Each place of the patch is shown where its centre lies.
  const place = { x: patch[1] / 2 - stride[1] / 2, y: patch[0] / 2 - stride[0] / 2, width: columns * stride[1], height: rows * stride[0] };
  return imageOf(coloured(plane.data, ...ends(plane.data), 190), columns, rows, place);
}

/** Some picture hides where none is chosen: another than the one that is looked at, if there is one. */
function chooseOther(): void {
  const all = now.network?.pictures ?? [];
  if (!all.some((p) => p.id === state.other)) state.other = all.find((p) => p.id !== state.picture)?.id ?? state.picture;
}

function hide(): void {
  if (!state.box || !now.network) return;
  chooseOther();
  if (!held) write(state); // else when it is let go: a browser is slow at it
  drawn();
  const more = withMaps();
  wire.follow("occlude", { kind: "occlude", ...asked(), ...filled(), ...more }, (header, arrays) => {
    if (header.error) return tell(header.error);
    if (state.tool !== "hide") return;
    showPixels(arrays.pixels ?? null);
    showSaid(header, arrays);
    if (header.maps && arrays.maps) showPart(arrays.maps, header.maps as Told);
    else if ("layer" in more && header.apart === undefined) askMaps();
    const apart = header.apart as number | undefined;
    tell(
      apart === undefined
        ? now.network?.answers ? "From what the box can change alone." : ""
        : `The same as a full pass, to ${apart === 0 ? "the last bit" : `${apart.toExponential(1)} of the scores' spread`}.`,
    );
  });
  if (!("layer" in more)) askMaps();
}

function everywhere(): void {
  if (!state.box) return;
  const of = whose();
  wire.ask("occlusion", { kind: "occlusion", ...asked(), ...filled(), target: target() }, (header, arrays) => {
    if (header.error) return tell(header.error);
    const plane = arrays.drops;
    if (!plane || of !== whose()) return;
    drops = { plane, patch: header.patch as [number, number], stride: header.stride as [number, number], of };
    if (state.tool === "hide") drawn();
    const found = [...plane.data].filter((v) => !Number.isNaN(v));
    say(`What hiding costs “${nameOf(target())}”, at ${counted(found.length)} places: up to ${Math.max(...found).toFixed(2)} of its score; most where it is brightest.`);
  });
}

function moveBox(rows: number, columns: number, resize: boolean): void {
  if (!state.box) return;
  const [, height, width] = input();
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

export const hiding: Tool = {
  id: "hide",
  label: "Hide",
  controls() {
    chooseOther();
    const fills = make("select", {}, ...Object.entries(FILLS).map(([value, name]) => make("option", { value, selected: value === state.fill }, name)));
    const others = make("select", {}, ...(now.network?.pictures ?? []).map((p) => make("option", { value: p.id, selected: p.id === state.other }, p.truth ? `${p.name}: ${p.truth}` : p.name)));
    const which = make("label", { class: "choice" }, "of ", others);
    which.hidden = state.fill !== "picture";
    fills.addEventListener("change", () => {
      state.fill = fills.value as State["fill"];
      which.hidden = state.fill !== "picture";
      hide();
    });
    others.addEventListener("change", () => {
      state.other = others.value;
      hide();
    });
    const all = make("button", { type: "button" }, "Hide everywhere");
    all.addEventListener("click", everywhere);
    all.hidden = !now.network?.answers;
    return [
      make("label", { class: "choice" }, "Hidden by ", fills), which, all,
      make("p", { class: "hint" }, `Drag the box, or its corner to resize it; arrow keys move it, with Shift they resize it.${now.network?.answers ? " “Hide everywhere” does it at every place." : ""}`),
    ];
  },
  open: hide,
  asks: () => (state.box ? filled() : {}),
  down([row, column]) {
    if (!state.box) return;
    const [[top, bottom], [left, right]] = state.box;
    const near = Math.max(2, input()[2] / 25);
    const resize = Math.abs(row - bottom) < near && Math.abs(column - right) < near;
    if (!resize && (row < top || row >= bottom || column < left || column >= right)) {
      moveBox(row - Math.floor((top + bottom) / 2), column - Math.floor((left + right) / 2), false);
    }
    held = { row, column, resize };
  },
  move([row, column]) {
    if (!held || (row === held.row && column === held.column)) return;
    moveBox(row - held.row, column - held.column, held.resize);
    held = { ...held, row, column };
  },
  up() {
    if (held) write(state);
    held = null;
  },
  key: moveBox,
};
