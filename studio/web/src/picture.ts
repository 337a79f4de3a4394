// The picture that is looked at, and what is drawn over it.

import { by, draw, make } from "./elements";
import { coloured, opaque, paint } from "./colour";
import type { Span } from "./geometry";
import { input, now, state } from "./page";
import type { Plane } from "./wire";

export function showPixels(plane: Plane | null): void {
  if (plane) paint(by<HTMLCanvasElement>("pixels"), opaque(plane.data, plane.shape[2]!), plane.shape[1]!, plane.shape[0]!);
}

export function overlay(...marks: SVGElement[]): void {
  const over = by<SVGSVGElement>("over");
  const [, height, width] = input();
  over.setAttribute("viewBox", `0 0 ${width} ${height}`);
  over.replaceChildren(...marks);
}

export const say = (text: string): void => void (by("picture-told").textContent = text);

/** rows, columns: first and last, both included. */
export function rectangle(rows: Span, columns: Span, kind: string): SVGElement {
  return draw("rect", { x: columns[0], y: rows[0], width: columns[1] - columns[0] + 1, height: rows[1] - rows[0] + 1, class: kind });
}

/** Row and column, of a picture of `height` x `width`, that an event points at. */
export function pixelAt(event: PointerEvent, element: Element, width: number, height: number): [number, number] {
  const place = element.getBoundingClientRect();
  const inside = (v: number, n: number): number => Math.min(n - 1, Math.max(0, Math.floor(v * n)));
  return [inside((event.clientY - place.top) / place.height, height), inside((event.clientX - place.left) / place.width, width)];
}

/** Least and most of what are numbers, 0 among them. */
export function ends(data: ArrayLike<number>): [number, number] {
  let low = 0;
  let high = 0;
  for (let i = 0; i < data.length; i++) {
    const v = data[i]!;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return [low, high];
}

/** A map (H, W) as an image over the picture. */
export function heat(plane: Plane, place?: Record<string, number>): SVGElement {
  const [height, width] = plane.shape as [number, number];
  return imageOf(coloured(plane.data, ...ends(plane.data), 190), width, height, place ?? { x: 0, y: 0, width: input()[2], height: input()[1] });
}

let shown = ""; // address of the picture of a map, which is freed when another takes its place

export function imageOf(data: Uint8ClampedArray<ArrayBuffer>, width: number, height: number, place: Record<string, number>): SVGElement {
  const canvas = make("canvas");
  paint(canvas, data, width, height);
  const image = draw("image", { ...place, preserveAspectRatio: "none", class: "heat" });
  canvas.toBlob((blob) => {
    if (!blob) return;
    URL.revokeObjectURL(shown);
    shown = URL.createObjectURL(blob);
    image.setAttribute("href", shown);
  });
  return image;
}

/** Pointer and arrow keys on the picture go to the tool that is chosen. */
export function listenToPicture(): void {
  const picture = by("picture");
  const at = (event: PointerEvent): [number, number] => pixelAt(event, picture, input()[2], input()[1]);
  picture.addEventListener("pointerdown", (event) => {
    if (!now.tool?.down) return;
    picture.setPointerCapture(event.pointerId);
    now.tool.down(at(event), event);
  });
  picture.addEventListener("pointermove", (event) => now.tool?.move?.(at(event), event));
  const release = (): void => now.tool?.up?.();
  picture.addEventListener("pointerup", release);
  picture.addEventListener("pointercancel", release);
  picture.addEventListener("pointerleave", () => now.tool?.leave?.());
  const steps: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  picture.addEventListener("keydown", (event) => {
    const way = steps[event.key];
    if (!way || !now.tool?.key || state.view !== "inside") return;
    event.preventDefault();
    const unit = Math.max(1, Math.round(input()[2] / 56));
    now.tool.key(way[0] * unit, way[1] * unit, event.shiftKey);
  });
}
