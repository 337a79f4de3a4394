// What all parts of the page share: what is open now, and the wire to the studio.

import { by } from "./elements";
import type { Layer } from "./geometry";
import { read, type Box, type State } from "./state";
import { Wire, type Plane } from "./wire";

export interface Network {
  name: string;
  about: string;
  answers: boolean; // whether it gives a number a class for an image: bars
  pointed: boolean; // whether what it says has places, one of which can be asked about
  classes: string[];
  input: [number, number, number];
  parameters: number;
  macs: number | null;
  layers: Layer[];
  pictures: { id: string; name: string; truth: string | null }[];
}
export interface Score {
  class: number;
  name: string;
  share: number;
  raw: number;
}

/** One of the things that a person does with the picture. */
export interface Tool {
  id: string;
  label: string;
  /** What stands beneath the picture while it is chosen. */
  controls(): (Node | string)[];
  /** It was chosen, or the picture, the class or a choice of its own is another. */
  open(): void;
  /** What is asked more where the maps are to follow. */
  asks?(): Record<string, unknown>;
  down?(at: [number, number], event: PointerEvent): void;
  move?(at: [number, number], event: PointerEvent): void;
  up?(): void;
  leave?(): void;
  /** An arrow key, in steps; grown: with Shift. */
  key?(rows: number, columns: number, grown: boolean): void;
  close?(): void;
}

export const state: State = read();
export const now: { network: Network | null; clean: Score[]; pixels: Plane | null; named: string; said: () => void; tool: Tool | null; live: string | null } = {
  network: null, clean: [], pixels: null, named: "", said: () => undefined, tool: null, live: null,
};

/** All networks that the studio was started with. */
export const nets: { id: string; name: string }[] = [];

/** Images of any size that it was started with. */
export const slides: { id: string; name: string }[] = [];

let again = (): void => undefined;
export const wire = new Wire(complain, () => again());
/** What is done when the wire stands again after it broke. */
export const onReturn = (what: () => void): void => void (again = what);

export function complain(text: string): void {
  by("status").textContent = text;
}

export const asked = (): { network: string; picture: string } => ({ network: state.network, picture: now.live ?? state.picture });
export const target = (): number => state.target ?? now.clean[0]?.class ?? 0;
export const nameOf = (c: number): string => now.network?.classes[c] ?? now.clean.find((s) => s.class === c)?.name ?? `class ${c}`;
/** Channels, rows and columns of what the network reads. */
export const input = (): [number, number, number] => now.network?.input ?? [1, 1, 1];
export const layerNow = (): Layer | undefined => now.network?.layers.find((l) => l.name === state.layer);

export function middle(): Box {
  const [, height, width] = input();
  const half = (n: number): [number, number] => [Math.floor(n * 0.4), Math.max(Math.floor(n * 0.4) + 1, Math.ceil(n * 0.6))];
  return [half(height), half(width)];
}

export const clamp = (v: number, low: number, high: number): number => Math.min(high, Math.max(low, v));
export const signed = (v: number): string => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(2);
export const percent = (v: number): string => (v >= 0.9995 ? "100 %" : `${(100 * v).toFixed(1)} %`);
