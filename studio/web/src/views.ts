// The views of the page, one of which is open.

import { by, make } from "./elements";
import { now, state } from "./page";
import { write } from "./state";
import { breaking } from "./views/breaking";
import { compare } from "./views/compare";
import { review } from "./views/review";
import { slideView } from "./views/slide";
import { training } from "./views/training";
import { windows } from "./views/windows";

export type Ready = "nothing" | "networks" | "network" | "all";
export interface View {
  id: string;
  label: string;
  needs: Ready;
  /** Fill its section, or bring it up to date; called when it is opened and when the network is another. */
  open(place: HTMLElement): void;
  close?(): void;
  /** The network that is chosen is known now. */
  known?(): void;
}

let inside = (): void => undefined;
/** What is done when the first view is seen. */
export const onInside = (what: () => void): void => void (inside = what);

const VIEWS: View[] = [{ id: "inside", label: "Look inside", needs: "network", open: () => inside() }, breaking, compare, training, review, slideView, windows];
let opened: View | null = null;

export function showViews(): void {
  by("views").replaceChildren(
    ...VIEWS.map((view) => {
      const button = make("button", { type: "button", "data-view": view.id }, view.label);
      button.addEventListener("click", () => {
        state.view = view.id;
        write(state);
        openView("all");
      });
      return button;
    }),
  );
  for (const view of VIEWS) {
    if (!document.getElementById(`view-${view.id}`)) by("main").append(make("div", { id: `view-${view.id}`, class: "view", hidden: true }));
  }
}

/** Show the view of the address; `ready`: what is known by now, the list of networks or the one that is chosen. */
export function openView(ready: Ready = "network"): void {
  const view = VIEWS.find((v) => v.id === state.view) ?? VIEWS[0]!;
  if (opened !== view) opened?.close?.();
  opened = view;
  state.view = view.id;
  for (const other of VIEWS) by(`view-${other.id}`).hidden = other !== view;
  for (const button of by("views").querySelectorAll<HTMLElement>("button")) {
    if (button.dataset.view === view.id) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (ready === "network") view.known?.();
  if (ready === "all" ? view.needs === "networks" || now.network : ready === view.needs) view.open(by(`view-${view.id}`));
}
