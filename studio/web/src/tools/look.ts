// Look: receptive fields both ways, reckoned in the page.

import { make } from "../elements";
import { lightInfluence, unlit } from "../layers";
import { clamp, input, now, type Tool } from "../page";
import { overlay, say } from "../picture";

let pointed: [number, number] = [0, 0];

function light(row: number, column: number): void {
  pointed = [row, column];
  lightInfluence(row, column);
}

export const look: Tool = {
  id: "look",
  label: "Look",
  controls: () => [
    make("p", { class: "hint" }, "Point at the picture: what that pixel can change lights up in every layer. Point at a map below: what that value sees lights up here. Arrow keys do the same. Drop or paste an image to look at it."),
  ],
  open() {
    unlit();
    overlay();
    say(now.named);
  },
  move: (at) => light(...at),
  leave() {
    unlit();
    overlay();
  },
  key(rows, columns) {
    light(clamp(pointed[0] + rows, 0, input()[1] - 1), clamp(pointed[1] + columns, 0, input()[2] - 1));
  },
};
