// Draw: a drawing, or the camera, as the network sees it, while it is made.

import { showSaid, tell } from "../answer";
import { opaque, paint } from "../colour";
import { by, draw as element, make } from "../elements";
import { askMaps } from "../layers";
import { asked, clamp, complain, input, now, state, wire, type Score, type Tool } from "../page";
import { overlay, say, showPixels } from "../picture";

const SIDE = 336; // pixels of the drawing's longer side
let width = 0.09; // of the pen, as a share of the side
let light: boolean | null = null; // white on black; null: as the network's channels suggest
let strokes = 0;
let last: [number, number] | null = null; // where the pen is down, in shares of the sides
let pen: [number, number] = [0.5, 0.5]; // where the keys have moved it
let busy = false;
let dirty = false;
let camera: MediaStream | null = null;
let seen: number[] = []; // times of the camera's latest answers

const canvas = (): HTMLCanvasElement => by<HTMLCanvasElement>("pen");
const onBlack = (): boolean => light ?? input()[0] === 1;

function clear(): void {
  const [, height, across] = input();
  const most = Math.max(height, across);
  const page = canvas();
  page.width = Math.round((SIDE * across) / most);
  page.height = Math.round((SIDE * height) / most);
  const ink = page.getContext("2d")!;
  ink.fillStyle = onBlack() ? "#000" : "#fff";
  ink.fillRect(0, 0, page.width, page.height);
  strokes = 0;
}

function line(from: [number, number], to: [number, number]): void {
  const page = canvas();
  const ink = page.getContext("2d")!;
  ink.strokeStyle = onBlack() ? "#fff" : "#000";
  ink.lineWidth = width * Math.min(page.width, page.height);
  ink.lineCap = ink.lineJoin = "round";
  ink.beginPath();
  ink.moveTo(from[1] * page.width, from[0] * page.height);
  ink.lineTo(to[1] * page.width + 0.01, to[0] * page.height);
  ink.stroke();
  send();
}

/** Send the drawing as the bytes of an image file, one at a time; what was drawn meanwhile goes after it. */
function send(): void {
  if (busy) return void (dirty = true);
  busy = true;
  dirty = false;
  canvas().toBlob((file) => void (file ? give(file) : done()), camera ? "image/jpeg" : "image/png");
}

async function give(file: Blob): Promise<void> {
  try {
    const answer = await fetch(`/drop/${encodeURIComponent(state.network)}?live=1`, { method: "POST", body: file });
    const told = (await answer.json()) as { picture?: string; error?: string };
    if (!told.picture) return complain(told.error ?? "the drawing could not be sent");
    now.live = told.picture;
  } catch {
    return complain("the drawing could not be sent");
  } finally {
    done();
  }
  wire.follow("live", { kind: "picture", ...asked() }, (header, arrays) => {
    if (header.error || !arrays.pixels) return;
    now.pixels = arrays.pixels;
    now.clean = (header.top as Score[] | undefined) ?? [];
    now.named = camera ? "What the camera sees." : "Your drawing.";
    now.said = () => showSaid(header, arrays);
    showPixels(now.pixels);
    now.said();
    inset();
    if (camera) rate();
    else tell("");
  });
  askMaps();
}

function done(): void {
  busy = false;
  if (camera) requestAnimationFrame(frame);
  else if (dirty) send();
}

/** What the network reads, beside what was drawn. */
function inset(): void {
  const plane = now.pixels;
  const small = document.getElementById("inset") as HTMLCanvasElement | null;
  if (plane && small) paint(small, opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
}

function rate(): void {
  const moment = performance.now();
  seen = [...seen.filter((t) => moment - t < 3000), moment];
  if (seen.length > 1) tell(`${((1000 * (seen.length - 1)) / (moment - seen[0]!)).toFixed(1)} images a second.`);
}

async function start(button: HTMLButtonElement): Promise<void> {
  if (camera) return stop(button);
  try {
    camera = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch {
    return complain("There is no camera, or the browser was not allowed to use it.");
  }
  complain("");
  const video = by<HTMLVideoElement>("camera");
  video.srcObject = camera;
  await video.play();
  button.textContent = "Stop the camera";
  seen = [];
  frame();
}

function stop(button?: HTMLButtonElement): void {
  for (const track of camera?.getTracks() ?? []) track.stop();
  camera = null;
  if (button) button.textContent = "Camera";
  tell("");
}

function frame(): void {
  const video = by<HTMLVideoElement>("camera");
  if (!camera || busy || !video.videoWidth) return void (camera && requestAnimationFrame(frame));
  const page = canvas();
  // The largest part of the frame that has the network's shape.
  const scale = Math.min(video.videoWidth / page.width, video.videoHeight / page.height);
  const [w, h] = [page.width * scale, page.height * scale];
  page.getContext("2d")!.drawImage(video, (video.videoWidth - w) / 2, (video.videoHeight - h) / 2, w, h, 0, 0, page.width, page.height);
  send();
}

function place(event: PointerEvent): [number, number] {
  const box = by("picture").getBoundingClientRect();
  return [clamp((event.clientY - box.top) / box.height, 0, 1), clamp((event.clientX - box.left) / box.width, 0, 1)];
}

function mark(): void {
  const [, height, across] = input();
  overlay(element("circle", { cx: pen[1] * across, cy: pen[0] * height, r: (width * Math.min(height, across)) / 2, class: "hidden-box" }));
}

export const drawing: Tool = {
  id: "draw",
  label: "Draw",
  controls() {
    const size = make("input", { type: "range", min: 0.02, max: 0.2, step: 0.01, value: width, id: "pen-width" });
    size.addEventListener("input", () => (width = Number(size.value)));
    const ground = make("select", {}, make("option", { value: "1", selected: onBlack() }, "white on black"), make("option", { value: "", selected: !onBlack() }, "black on white"));
    const wipe = make("button", { type: "button" }, "Clear");
    const again = (): void => {
      clear();
      say("Nothing is drawn.");
      send();
    };
    ground.addEventListener("change", () => {
      light = ground.value === "1";
      again();
    });
    wipe.addEventListener("click", again);
    const film = make("button", { type: "button" }, "Camera");
    film.addEventListener("click", () => void start(film));
    return [
      make("div", { class: "slider" }, make("label", { for: "pen-width" }, "Pen"), size, make("span", {})),
      make("div", { class: "row" }, make("label", { class: "choice" }, "Ink ", ground), wipe, film),
      make("figure", { class: "inset" }, make("canvas", { id: "inset", "aria-hidden": "true" }), make("figcaption", {}, "As the network reads it")),
      make("video", { id: "camera", hidden: true, muted: true, playsinline: true }),
      make("p", { class: "hint" }, "Draw on the picture. Arrow keys move the pen, with Shift they draw. The camera's pictures stay on this machine."),
    ];
  },
  open() {
    const page = canvas();
    if (page.hidden) {
      page.hidden = false;
      clear();
      send();
    }
    say(strokes ? `${strokes} strokes are drawn.` : "Nothing is drawn.");
  },
  down(_, event) {
    if (camera) return;
    last = place(event);
    strokes += 1;
    line(last, last);
  },
  move(_, event) {
    if (!last) return;
    const to = place(event);
    line(last, to);
    last = to;
  },
  up() {
    if (last) say(`${strokes} ${strokes === 1 ? "stroke is" : "strokes are"} drawn.`);
    last = null;
  },
  key(rows, columns, grown) {
    const step = width / 2;
    const to: [number, number] = [clamp(pen[0] + Math.sign(rows) * step, 0, 1), clamp(pen[1] + Math.sign(columns) * step, 0, 1)];
    if (grown && !camera) {
      strokes += 1;
      line(pen, to);
      say(`The pen draws at ${Math.round(100 * to[0])} % down and ${Math.round(100 * to[1])} % across.`);
    }
    pen = to;
    mark();
  },
  close() {
    stop();
    canvas().hidden = true;
  },
};
