// Why: which pixels decided, by a method that is chosen, and after it how far the map can be trusted.

import { tell } from "../answer";
import { make } from "../elements";
import { asked, clamp, input, nameOf, now, signed, state, target, wire, type Tool } from "../page";
import { heat, overlay, rectangle, say } from "../picture";
import { write, type Box } from "../state";

const METHODS: [string, string][] = [
  ["grad-cam", "Grad-CAM"], ["saliency", "Saliency"], ["integrated-gradients", "Integrated gradients"],
  ["gradient-x-input", "Gradient × input"], ["smoothgrad", "SmoothGrad"], ["guided-backpropagation", "Guided backpropagation"],
  ["occlusion", "Occlusion"],
];

let spot: Box | null = null; // whose part of the picture is asked about, where the network says something of places
let from: [number, number] | null = null;

/** What is asked about: a class, or where the answer has places, a place. */
const about = (): Record<string, unknown> => (now.network?.answers ? { target: target() } : spot && now.network?.pointed ? { box: spot } : {});
const mark = (): SVGElement[] => (spot && now.network?.pointed ? [rectangle([spot[0][0], spot[0][1] - 1], [spot[1][0], spot[1][1] - 1], "field")] : []);

function why(): void {
  write(state);
  tell("");
  overlay(...mark());
  say(now.named);
  wire.ask("explain", { kind: "explain", ...asked(), method: state.method, ...about() }, (header, arrays) => {
    if (state.tool !== "why") return;
    if (header.error) return tell(header.error);
    if (arrays.map) {
      const [top, left] = header.start as [number, number];
      const [height, width] = arrays.map.shape as [number, number];
      overlay(heat(arrays.map, { x: left, y: top, width, height }), ...mark());
    }
    const words = (header.words as string | null) ?? nameOf(target());
    const faithful = header.faithfulness as number | undefined;
    const chance = `${signed(header.chance as number)} for chance`;
    tell(
      faithful === undefined
        ? `${words}: how far the map can be trusted is being measured …`
        : `${words}: faithfulness ${signed(faithful)}, against ${signed(header.edges as number)} for an edge detector and ${chance}` +
          `${header.ignores === null ? "" : "; the map hardly depends on the weights, so it is not the network's reason"}.`,
    );
  });
}

function place(a: [number, number], b: [number, number]): void {
  const span = (u: number, v: number): [number, number] => [Math.min(u, v), Math.max(u, v) + 1];
  spot = [span(a[0], b[0]), span(a[1], b[1])];
}

export const explaining: Tool = {
  id: "why",
  label: "Why",
  controls() {
    const methods = make("select", {}, ...METHODS.map(([value, name]) => make("option", { value, selected: value === state.method }, name)));
    methods.addEventListener("change", () => {
      state.method = methods.value;
      why();
    });
    const hint = now.network?.pointed
      ? "Click what is to be explained, or drag over a region of it; arrow keys move the place. How far the map can be trusted follows after it."
      : "Which pixels decided on the class that is chosen beside; how far the map can be trusted follows after it.";
    return [make("label", { class: "choice" }, "Method ", methods), make("p", { class: "hint" }, hint)];
  },
  open() {
    const [, height, width] = input();
    if (now.network?.pointed && (!spot || spot[0][1] > height || spot[1][1] > width)) {
      const middle: [number, number] = [Math.floor(height / 2), Math.floor(width / 2)];
      place(middle, middle);
    }
    why();
  },
  down(at) {
    if (!now.network?.pointed) return;
    from = at;
    place(at, at);
    overlay(...mark());
  },
  move(at) {
    if (!from) return;
    place(from, at);
    overlay(...mark());
  },
  up() {
    if (from) why();
    from = null;
  },
  key(rows, columns) {
    if (!spot || !now.network?.pointed) return;
    const [, height, width] = input();
    const at: [number, number] = [clamp(spot[0][0] + rows, 0, height - 1), clamp(spot[1][0] + columns, 0, width - 1)];
    place(at, at);
    why();
  },
  close: () => wire.cancel("explain"),
};
