// Change: the picture shifted, turned, blurred, lit, and a class's probability along one slider.

import { showSaid, tell } from "../answer";
import { chart } from "../chart";
import { by, make } from "../elements";
import { askMaps } from "../layers";
import { asked, nameOf, now, state, target, wire, type Tool } from "../page";
import { overlay, say, showPixels } from "../picture";
import { SLIDERS, write } from "../state";

let drawn: { of: string; points: ArrayLike<number> } = { of: "", points: [] };

/** The curve along the slider that moved last; where the others stand as they did, it is the one that is known already. */
function curve(): void {
  if (!now.network?.answers) return;
  const slider = SLIDERS.find((s) => s.name === state.along)!;
  const question = { kind: "curve", ...asked(), amounts: state.amounts, along: state.along, target: target() };
  const of = JSON.stringify({ ...question, amounts: { ...state.amounts, [state.along]: 0 } });
  const show = (): void => chart(by("chart"), drawn.points, slider, state.amounts[slider.name] ?? slider.still, nameOf(target()));
  if (drawn.of === of) {
    show();
    if (drawn.points.length) return; // it is there, or on its way
  }
  drawn = { of, points: [] };
  wire.ask("curve", question, (header, arrays) => {
    if (header.error || !arrays.points || drawn.of !== of) return;
    drawn.points = arrays.points.data;
    show();
  });
}

export function change(): void {
  write(state);
  wire.follow("change", { kind: "change", ...asked(), amounts: state.amounts }, (header, arrays) => {
    if (header.error) return tell(header.error);
    if (state.tool !== "change") return;
    showPixels(arrays.pixels ?? null);
    showSaid(header, arrays);
  });
  curve();
  askMaps();
}

export const changing: Tool = {
  id: "change",
  label: "Change",
  controls() {
    const rows = SLIDERS.map((s) => {
      const value = state.amounts[s.name] ?? s.still;
      const input = make("input", { type: "range", min: s.low, max: s.high, step: (s.high - s.low) / 200, value, id: `slider-${s.name}` });
      const told = make("output", { for: `slider-${s.name}` }, s.unit(value));
      input.addEventListener("input", () => {
        state.amounts[s.name] = Number(input.value);
        told.textContent = s.unit(Number(input.value));
        state.along = s.name;
        change();
      });
      return make("div", { class: "slider" }, make("label", { for: `slider-${s.name}` }, s.label), input, told);
    });
    const reset = make("button", { type: "button" }, "Reset");
    reset.addEventListener("click", () => {
      state.amounts = {};
      by("controls").replaceChildren(...changing.controls());
      change();
    });
    return [...rows, reset];
  },
  open() {
    by("chart").hidden = !now.network?.answers;
    overlay();
    say(now.named);
    change();
  },
  asks: () => ({ amounts: state.amounts }),
  close() {
    by("chart").hidden = true;
    wire.cancel("curve");
    drawn = { of: "", points: [] };
  },
};
