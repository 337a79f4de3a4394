// All that the page shows stands in its address, so that a view can be kept, sent and gone back to.

export const FILLS = { grey: "grey", black: "black", white: "white", mean: "its mean colour", blur: "a blur", picture: "another picture" };
export type Fill = keyof typeof FILLS;
export interface Slider {
  name: string;
  label: string;
  low: number;
  high: number;
  still: number;
  unit: (v: number) => string;
}
const percent = (v: number): string => `${Math.round(100 * v)} %`;
export const SLIDERS: Slider[] = [
  { name: "right", label: "Shift right", low: -0.25, high: 0.25, still: 0, unit: percent },
  { name: "down", label: "Shift down", low: -0.25, high: 0.25, still: 0, unit: percent },
  { name: "degrees", label: "Turn", low: -180, high: 180, still: 0, unit: (v) => `${Math.round(v)}°` },
  { name: "scale", label: "Scale", low: 0.5, high: 2, still: 1, unit: (v) => `× ${v.toFixed(2)}` },
  { name: "blur", label: "Blur", low: 0, high: 0.08, still: 0, unit: (v) => `${(100 * v).toFixed(1)} % of the side` },
  { name: "noise", label: "Noise", low: 0, high: 0.4, still: 0, unit: (v) => v.toFixed(2) },
  { name: "brightness", label: "Brightness", low: 0.2, high: 1.8, still: 1, unit: percent },
  { name: "contrast", label: "Contrast", low: 0, high: 2, still: 1, unit: percent },
];
export type Box = [[number, number], [number, number]]; // rows, columns, half-open

export interface State {
  view: string;
  network: string;
  picture: string;
  layer: string;
  tool: string;
  fill: Fill;
  other: string; // a picture of which a part hides
  box: Box | null;
  target: number | null; // a class; the likeliest where null
  amounts: Record<string, number>;
  along: string;
  method: string;
  first: number; // channel shown first
  own: Record<string, string>; // of the views beside: what each keeps for itself, by names that begin with a dot
}

export function read(): State {
  const q = new URLSearchParams(location.hash.slice(1));
  const whole = (name: string): number | null => {
    const v = Number(q.get(name));
    return q.has(name) && Number.isInteger(v) && v >= 0 ? v : null;
  };
  const fill = q.get("fill") ?? "";
  const numbers = (q.get("box") ?? "").split(",").map(Number);
  const [a, b, c, d] = numbers;
  const box = numbers.length === 4 && numbers.every(Number.isInteger) ? ([[a, b], [c, d]] as Box) : null;
  const amounts: Record<string, number> = {};
  for (const s of SLIDERS) {
    const v = Number(q.get(s.name));
    if (q.has(s.name) && Number.isFinite(v)) amounts[s.name] = Math.min(s.high, Math.max(s.low, v));
  }
  const own: Record<string, string> = {};
  for (const [name, value] of q) if (name.startsWith(".")) own[name] = value;
  return {
    view: q.get("view") ?? "inside",
    network: q.get("network") ?? "",
    picture: q.get("picture") ?? "",
    layer: q.get("layer") ?? "",
    tool: q.get("tool") ?? "look",
    fill: fill in FILLS ? (fill as Fill) : "grey",
    other: q.get("other") ?? "",
    box,
    target: whole("class"),
    amounts,
    along: SLIDERS.some((s) => s.name === q.get("along")) ? q.get("along")! : "degrees",
    method: q.get("method") ?? "grad-cam",
    first: whole("first") ?? 0,
    own,
  };
}

export function write(state: State): void {
  const q = new URLSearchParams();
  const put = (name: string, value: string | number | null): void => {
    if (value !== "" && value !== null) q.set(name, String(value));
  };
  if (state.view !== "inside") put("view", state.view);
  put("network", state.network);
  put("picture", state.picture);
  put("layer", state.layer);
  put("tool", state.tool);
  if (state.tool === "hide") {
    put("fill", state.fill);
    if (state.fill === "picture") put("other", state.other);
    put("box", state.box ? state.box.flat().join(",") : null);
  }
  put("class", state.target);
  for (const [name, value] of Object.entries(state.amounts)) put(name, Number(value.toFixed(4)));
  if (state.tool === "change") put("along", state.along);
  if (state.tool === "why") put("method", state.method);
  put("first", state.first || null);
  for (const [name, value] of Object.entries(state.own)) put(name, value);
  history.replaceState(null, "", `#${q}`);
}
