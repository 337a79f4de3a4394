// Review: images by suspicion of their label; a key a class, X excludes, U undoes, and what was decided stands in a log.

import { opaque, paint } from "../colour";
import { by, counted, listbox, make, select } from "../elements";
import { nets, percent, state, wire } from "../page";
import { write } from "../state";
import type { View } from "../views";
import type { Arrays } from "../wire";

interface Image {
  id: string;
  key: string;
  label: string;
  suggested: string;
  sure: number;
  own: number;
  doubted: boolean;
  copies: string[];
  decision: { action: string; to: string } | null;
}

let images: Image[] = [];
let thumbnails: Arrays = {};
let classes: string[] = [];
let first = 0;
let of = 0;
let at = 0; // which of `images`

const base = (): string => state.network.split("@")[0]!;

function open(place: HTMLElement): void {
  place.replaceChildren(
    make(
      "section", {}, make("h2", {}, "Labels by suspicion"),
      make("div", { class: "row", id: "review-choice", hidden: true }, make("label", { class: "choice" }, "Images ", make("select", { id: "review-split" }))),
      make("p", { id: "review-told", class: "hint", role: "status" }, "The network looks at the images …"),
      make("div", { id: "review-images", class: "grid-strip", role: "listbox", "aria-label": "Images, the most suspicious first", tabindex: 0 }),
      make("div", { id: "review-pages", class: "pages" }),
    ),
    make(
      "section", { class: "review", id: "review-one", hidden: true },
      make("div", {}, make("h2", {}, "This image"), make("canvas", { id: "review-picture", class: "review-picture", "aria-hidden": "true" }), make("p", { id: "review-image", "aria-live": "polite" }), make("div", { id: "review-copies", class: "tiles" })),
      make(
        "div", {}, make("h2", {}, "Its label"), make("div", { id: "review-classes", class: "review-classes", role: "group", "aria-label": "Classes" }),
        make("div", { class: "row" }, action("Exclude (X)", "exclude"), action("Right as it is (K)", "keep"), action("Undo (U)", "undo")),
        make("p", { class: "hint" }, "Keys: 1 to 9 give the label of that number, Enter takes the suggestion, X excludes, K keeps, U undoes; arrow keys go through the images. Nothing is moved until “striate review RUN --apply”."),
        make("p", { id: "review-log", class: "hint" }),
        make("div", { class: "row" }, refitting()), make("p", { id: "review-refit", role: "status" }),
      ),
    ),
  );
  by("review-split").addEventListener("change", (event) => {
    state.own[".split"] = (event.target as HTMLSelectElement).value;
    ask(0);
  });
  listbox(by("review-images"), (option) => choose(images.findIndex((i) => i.id === option.dataset.id)));
  ask(0);
}

function action(words: string, what: string): HTMLElement {
  const b = make("button", { type: "button", "data-action": what }, words);
  b.addEventListener("click", () => decide(what));
  return b;
}

/** What the decisions change: the last layer fitted to the labels before and after them. */
function refitting(): HTMLElement {
  const button = make("button", { type: "button" }, "Fit again with these labels");
  button.addEventListener("click", () => {
    by("review-refit").textContent = "Fitting the last layer to the training images, with their labels before and after …";
    wire.ask("refit", { kind: "refit", network: base() }, (header) => {
      if (header.error) return void (by("review-refit").textContent = header.error);
      const n = (name: string): number => header[name] as number;
      const told = (name: string): string => {
        const one = header[name] as { right: number; interval: [number, number] };
        return `${percent(one.right / n("of"))} (${one.interval.map(percent).join(" to ")})`;
      };
      by("review-refit").textContent =
        `With the last layer fitted again to ${counted(n("trained"))} training images: ${told("before")} right before, ${told("after")} after, ` +
        `when ${n("relabelled")} of them have another label and ${n("excluded")} are left out. Judged by ${counted(n("of"))} ${header.split === "test" ? "test" : "validation"} images about which nothing was decided.`;
    });
  });
  return button;
}

function ask(from: number): void {
  write(state);
  wire.ask("review", { kind: "review", network: base(), first: from, split: state.own[".split"] || "val" }, (header, arrays) => {
    if (header.error) return void (by("review-told").textContent = header.error);
    by("review-one").hidden = by("review-choice").hidden = false;
    images = header.images as Image[];
    thumbnails = arrays;
    classes = header.classes as string[];
    [first, of] = [header.first as number, header.of as number];
    const counts = header.counts as Record<string, number>;
    const names: Record<string, string> = { val: "validation", test: "test", train: "training" };
    by("review-split").replaceChildren(...Object.entries(counts).filter(([, n]) => n).map(([name, n]) => make("option", { value: name, selected: name === header.split }, `${names[name]} (${n})`)));
    const learned = header.split === "train" ? " It learned these labels: it contradicts fewer of them than it should." : " It was not trained on them.";
    by("review-told").textContent = `${of} images of ${header.run}, those first whose label the network contradicts most.${learned}`;
    count(header.decided as number, header.log as string);
    by("review-classes").replaceChildren(
      ...classes.map((c, k) => {
        const b = make("button", { type: "button", "data-class": k }, k < 9 ? make("kbd", {}, String(k + 1)) : "", ` ${c}`);
        b.addEventListener("click", () => decide("relabel", k));
        return b;
      }),
    );
    show();
    choose(0);
  });
}

let log = "";
function count(n: number, file: string): void {
  log = file;
  by("review-log").textContent = `${n} ${n === 1 ? "decision stands" : "decisions stand"} in ${log}.`;
}

const mark = (i: Image): string => ({ relabel: `→ ${i.decision?.to}`, exclude: "✗", keep: "✓", moved: "moved" })[i.decision?.action ?? ""] ?? (i.doubted ? "?" : "");

function show(): void {
  by("review-images").replaceChildren(
    ...images.map((i) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      const plane = thumbnails[i.id];
      if (plane) paint(canvas, opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
      return make("div", { role: "option", "data-id": i.id, "aria-selected": "false", title: `${i.key}: ${i.label}` }, canvas, make("span", { class: "ticks-shown" }, mark(i)), make("span", { class: "hidden" }, words(i)));
    }),
  );
  const button = (text: string, from: number, off: boolean): HTMLElement => {
    const b = make("button", { type: "button", disabled: off }, text);
    b.addEventListener("click", () => ask(from));
    return b;
  };
  const step = 60;
  by("review-pages").hidden = of <= step;
  by("review-pages").replaceChildren(button("Before", Math.max(0, first - step), first === 0), make("span", {}, `${first + 1} to ${first + images.length} of ${of}`), button("Next", first + step, first + images.length >= of));
}

function words(i: Image): string {
  const doubt = i.doubted ? `The network says ${i.suggested} (${percent(i.sure)}), and gives its label ${percent(i.own)}.` : `The network agrees (${percent(i.own)}).`;
  const done: Record<string, string> = { relabel: ` You gave it the label ${i.decision?.to}.`, exclude: " You excluded it.", keep: " You kept its label.", moved: " It was moved." };
  const same = i.copies.length ? ` The same image stands here ${i.copies.length === 1 ? "once" : `${i.copies.length} times`} more, below.` : "";
  return `${i.key} is labelled ${i.label}. ${doubt}${same}${done[i.decision?.action ?? ""] ?? ""}`;
}

function choose(which: number): void {
  const image = images[which];
  if (!image) return;
  at = which;
  select(by("review-images"), by("review-images").children[which] as HTMLElement);
  by("review-image").textContent = words(image);
  for (const b of by("review-classes").querySelectorAll<HTMLElement>("button")) {
    const name = classes[Number(b.dataset.class)]!;
    b.setAttribute("aria-pressed", String(name === (image.decision?.action === "relabel" ? image.decision.to : image.label)));
    b.classList.toggle("suggested", image.doubted && name === image.suggested);
  }
  wire.ask("review-picture", { kind: "picture", network: base(), picture: image.id }, (header, arrays) => {
    const plane = arrays.pixels;
    if (!header.error && plane) paint(by<HTMLCanvasElement>("review-picture"), opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
  });
  by("review-copies").replaceChildren(
    ...image.copies.map((id) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      const plane = thumbnails[id];
      if (plane) paint(canvas, opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
      return canvas;
    }),
  );
}

/** Note a decision; the next image comes at once, and what was noted is shown when it is. */
function decide(what: string, to?: number): void {
  const image = images[at];
  if (!image) return;
  const place = at;
  wire.ask(`decide-${image.id}`, { kind: "decide", network: base(), picture: image.id, action: what, ...(to === undefined ? {} : { to }) }, (header) => {
    if (header.error) return void (by("review-told").textContent = header.error);
    images[place] = header.image as Image;
    count(header.decided as number, log);
    const option = by("review-images").children[place];
    if (option) option.querySelector(".ticks-shown")!.textContent = mark(images[place]!);
    if (option) option.querySelector(".hidden")!.textContent = words(images[place]!);
    if (at === place) choose(place);
  });
  if (what !== "undo" && at + 1 < images.length) choose(at + 1);
}

function key(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  if (state.view !== "review" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName)) return;
  const image = images[at];
  const name = event.key.toLowerCase();
  const number = Number(name);
  if (number >= 1 && number <= Math.min(9, classes.length)) decide("relabel", number - 1);
  else if (name === "x") decide("exclude");
  else if (name === "k") decide("keep");
  else if (name === "u") decide("undo");
  else if (name === "enter" && image?.doubted && target.tagName !== "BUTTON") decide("relabel", classes.indexOf(image.suggested));
  else if (name === "arrowright" && target.id !== "review-images") choose(at + 1);
  else if (name === "arrowleft" && target.id !== "review-images") choose(at - 1);
  else return;
  event.preventDefault();
}
document.addEventListener("keydown", key);

export const review: View = {
  id: "review",
  label: "Review",
  needs: "networks",
  open(place) {
    if (nets.length) open(place);
  },
};
