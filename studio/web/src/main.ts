// The page: views, of which one is open; in the first a picture, what the network says of it, and what its layers hold.

import { showSaid, tell } from "./answer";
import { by, counted, listbox, make, select, short } from "./elements";
import { opaque, paint } from "./colour";
import { isMap } from "./geometry";
import { drawLayers, listenToMaps, openLayer, unlit } from "./layers";
import { asked, complain, middle, nets, now, onReturn, slides, state, wire, type Network, type Score, type Tool } from "./page";
import { listenToPicture, overlay, say, showPixels } from "./picture";
import { read, write } from "./state";
import { changing } from "./tools/change";
import { drawing } from "./tools/draw";
import { hiding } from "./tools/hide";
import { look } from "./tools/look";
import { explaining } from "./tools/why";
import { onInside, openView, showViews } from "./views";

const TOOLS: Tool[] = [look, hiding, changing, explaining, drawing];

function start(): void {
  wire.ask("networks", { kind: "networks" }, (header) => {
    if (header.error) return complain(header.error);
    const all = header.networks as { id: string; name: string }[];
    nets.splice(0, nets.length, ...all);
    slides.splice(0, slides.length, ...(header.slides as typeof slides));
    const chooser = by<HTMLSelectElement>("networks");
    chooser.replaceChildren(...all.map((n) => make("option", { value: n.id }, n.name)));
    if (!all.some((n) => n.id === state.network)) state.network = all[0]?.id ?? "";
    chooser.value = state.network;
    openView("networks");
    openNetwork();
  });
}

function openNetwork(then?: string): void {
  complain("Opening the network …");
  wire.ask("network", { kind: "network", network: state.network, picture: then ?? state.picture }, (header, arrays) => {
    complain(header.error ?? "");
    if (header.error) return;
    const network = header as unknown as Network;
    now.network = network;
    const [channels, height, width] = network.input;
    by("about").textContent =
      `${counted(network.parameters)} parameters, ${short(network.macs ?? 0)} multiply-adds; it reads ` +
      `${width} × ${height} pixels${channels === 1 ? ", grey" : ""} and gives ${network.about}.`;
    by("strip").replaceChildren(
      ...network.pictures.map((p) => {
        const canvas = make("canvas", { "aria-hidden": "true" });
        const plane = arrays[p.id];
        if (plane) paint(canvas, opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
        return make("div", { role: "option", "data-id": p.id, "aria-selected": "false", title: p.truth ? `${p.name}: ${p.truth}` : p.name }, canvas, make("span", { class: "hidden" }, p.truth ? `${p.name}, ${p.truth}` : p.name));
      }),
    );
    drawLayers();
    now.live = null;
    if (then) state.picture = then;
    if (!network.pictures.some((p) => p.id === state.picture)) state.picture = network.pictures[0]?.id ?? "";
    if (!network.layers.some((l) => l.name === state.layer)) {
      state.layer = network.layers.find((l) => isMap(l) && l.op === "convolution")?.name ?? network.layers[0]?.name ?? "";
    }
    behind = true;
    openView();
  });
}

let behind = false; // the picture was not asked for: another view is open, and what that asks comes first
onInside(() => {
  if (!behind) return;
  behind = false;
  openPicture();
});

function openPicture(): void {
  if (!now.network) return;
  select(by("strip"), by("strip").querySelector<HTMLElement>(`[data-id="${CSS.escape(state.picture)}"]`) ?? undefined);
  wire.ask("picture", { kind: "picture", ...asked() }, (header, arrays) => {
    if (header.error) return complain(header.error);
    now.pixels = arrays.pixels ?? null;
    const [rows, columns] = now.pixels?.shape ?? [];
    if (now.network && (rows !== now.network.input[1] || columns !== now.network.input[2])) return openNetwork(); // of another size
    now.clean = (header.top as Score[] | undefined) ?? [];
    now.said = () => showSaid(header, arrays);
    const truth = header.truth as string | null;
    now.named = truth ? `${header.name}; its label is “${truth}”.` : `${header.name}.`;
    const box = state.box;
    if (!box || box[0][1] > now.network!.input[1] || box[1][1] > now.network!.input[2]) state.box = middle();
    choose(state.tool);
  });
}

function choose(id: string): void {
  const tool = TOOLS.find((t) => t.id === id) ?? look;
  if (now.tool !== tool) now.tool?.close?.();
  now.tool = tool;
  state.tool = tool.id;
  write(state);
  for (const button of by("tools").querySelectorAll("input")) button.checked = button.value === tool.id;
  by("picture").dataset.tool = tool.id;
  unlit();
  overlay();
  tell("");
  say(now.named);
  showPixels(now.pixels);
  now.said();
  by("controls").replaceChildren(...tool.controls());
  tool.open();
  openLayer();
}

async function take(file: Blob): Promise<void> {
  complain("Reading the image …");
  const answer = await fetch(`/drop/${encodeURIComponent(state.network)}`, { method: "POST", body: file });
  const told = (await answer.json().catch(() => ({ error: "the image could not be sent" }))) as { picture?: string; error?: string };
  complain(told.error ?? "");
  if (told.picture) openNetwork(told.picture);
}

function listen(): void {
  listbox(by("strip"), (option) => {
    now.live = null;
    state.picture = option.dataset.id ?? "";
    openPicture();
  });
  listbox(by("layers"), (option) => {
    state.layer = option.dataset.layer ?? "";
    state.first = 0;
    write(state);
    openLayer();
  });
  listbox(by("bars"), (option) => {
    state.target = Number(option.dataset.class);
    select(by("bars"), option);
    write(state);
    now.tool?.open();
  });
  by<HTMLSelectElement>("networks").addEventListener("change", (event) => {
    Object.assign(state, { network: (event.target as HTMLSelectElement).value, picture: "", layer: "", box: null, target: null, first: 0 });
    openNetwork();
  });
  by("tools").replaceChildren(
    ...TOOLS.map((tool) => {
      const input = make("input", { type: "radio", name: "tool", value: tool.id });
      input.addEventListener("change", () => choose(tool.id));
      return make("label", {}, input, make("span", {}, tool.label));
    }),
  );
  listenToPicture();
  listenToMaps();
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) void take(file);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) void take(file);
  });
  addEventListener("hashchange", () => {
    Object.assign(state, read());
    openView("nothing");
    start();
  });
}

onReturn(start);
showViews();
openView("nothing");
listen();
start();
