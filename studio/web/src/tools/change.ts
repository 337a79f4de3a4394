// Change: the picture shifted, turned, blurred, lit, and a class's probability along one slider.

import { showSaid, tell } from "../answer";
import { chart } from "../chart";
import { by, make } from "../elements";
import { askMaps } from "../layers";
import { asked, nameOf, now, state, target, wire, type Tool } from "../page";
import { overlay, say, showPixels } from "../picture";
import { SLIDERS, write } from "../state";

export function change(): void {
  write(state);
  wire.ask("change", { kind: "change", ...asked(), amounts: state.amounts }, (header, arrays) => {
    if (header.error) return tell(header.error);
    if (state.tool !== "change") return;
    showPixels(arrays.pixels ?? null);
    showSaid(header, arrays);
  });
  const slider = SLIDERS.find((s) => s.name === state.along)!;
  if (now.network?.answers) {
    wire.ask("curve", { kind: "curve", ...asked(), amounts: state.amounts, along: state.along, target: target() }, (header, arrays) => {
      if (header.error) return;
      const plane = arrays.points;
      if (plane) chart(by("chart"), plane.data, slider, state.amounts[slider.name] ?? slider.still, nameOf(target()));
    });
  }
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
  },
};
