// Receptive fields both ways, reckoned in the page from what the trace of the network gave.

/** Along one side: output i of phase p = i mod phases sees first[p] + floor(i / phases) * step to last[p] + the same. */
export interface Axis {
  size: number;
  stride: number;
  phases: [number, number][];
  step: number;
}
export type Span = [number, number]; // first and last, both included

export interface Layer {
  name: string;
  op: string;
  kind: string;
  shape: number[];
  parameters: number;
  macs: number | null;
  window: (number | null)[];
  stride: (number | null)[];
  field: (Axis | null)[];
}

/** The pixels that output `at` sees, inside a picture of `size` pixels; null where it sees none. */
export function sees(axis: Axis | null | undefined, at: number, size: number): Span | null {
  if (!axis) return [0, size - 1];
  const phase = axis.phases[at % axis.phases.length];
  if (!phase) return [0, size - 1];
  const moved = Math.floor(at / axis.phases.length) * axis.step;
  const first = Math.max(0, Math.ceil(phase[0] + moved));
  const last = Math.min(size - 1, Math.floor(phase[1] + moved));
  return first <= last ? [first, last] : null;
}

/** The outputs, of `count`, that see any of the pixels `first` to `last`. */
export function changes(axis: Axis | null | undefined, [first, last]: Span, count: number): Span | null {
  if (!axis) return [0, count - 1];
  let low = Infinity;
  let high = -Infinity;
  axis.phases.forEach(([a, b], p) => {
    // a + k * step <= last and b + k * step >= first
    const k0 = Math.max(0, Math.ceil((first - b) / axis.step));
    const k1 = Math.min(Math.floor((last - a) / axis.step), Math.floor((count - 1 - p) / axis.phases.length));
    if (k0 > k1) return;
    low = Math.min(low, k0 * axis.phases.length + p);
    high = Math.max(high, k1 * axis.phases.length + p);
  });
  return low <= high ? [low, high] : null;
}

export const isMap = (layer: Layer): boolean => layer.shape.length === 3;
