// Colours: numbers to pixels. Both ramps are safe for colour-blind readers: dark to light, and blue over white to orange.

export type Colour = [number, number, number];
const LIGHT: Colour[] = [[0, 32, 76], [0, 67, 109], [87, 92, 109], [124, 123, 120], [166, 157, 117], [211, 193, 100], [255, 233, 69]]; // cividis
const SIGNED: Colour[] = [[5, 48, 97], [67, 147, 195], [247, 247, 247], [230, 145, 56], [140, 45, 4]];

function ramp(stops: Colour[], share: number): Colour {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const low = stops[Math.floor(at)] ?? stops[0]!;
  const high = stops[Math.ceil(at)] ?? low;
  const t = at - Math.floor(at);
  return [0, 1, 2].map((i) => Math.round(low[i]! + (high[i]! - low[i]!) * t)) as Colour;
}

/** 256 colours, each as the four bytes of a pixel, opacity 0. */
const table = (stops: Colour[]): Uint32Array =>
  Uint32Array.from({ length: 256 }, (_, i) => {
    const [r, g, b] = ramp(stops, i / 255);
    return r | (g << 8) | (b << 16);
  });
const TABLES = { light: table(LIGHT), signed: table(SIGNED) };

/** Numbers as pixels: from 0 or `low` to `high` where none is below zero, else from -most over 0 to most. */
export function coloured(data: ArrayLike<number>, low: number, high: number, opacity = 255): Uint8ClampedArray<ArrayBuffer> {
  const signed = low < 0 && high > 0;
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const colours = signed ? TABLES.signed : TABLES.light;
  const [scale, shift] = signed ? [255 / most / 2, 127.5] : [255 / (high - low || 1), (-low * 255) / (high - low || 1)];
  const out = new Uint32Array(data.length);
  const alpha = opacity << 24;
  for (let i = 0; i < data.length; i++) {
    const at = data[i]! * scale + shift;
    if (at !== at) continue; // not a number: stays clear
    out[i] = colours[at < 0 ? 0 : at > 255 ? 255 : (at + 0.5) | 0]! | alpha;
  }
  return new Uint8ClampedArray(out.buffer);
}

/** Pixels (H, W, 1 or 3) as a canvas takes them. */
export function opaque(data: ArrayLike<number>, channels: number): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint32Array(data.length / channels);
  for (let i = 0, j = 0; i < out.length; i++, j += channels) {
    const [r, g, b] = channels === 3 ? [data[j]!, data[j + 1]!, data[j + 2]!] : [data[j]!, data[j]!, data[j]!];
    out[i] = r | (g << 8) | (b << 16) | (255 << 24);
  }
  return new Uint8ClampedArray(out.buffer);
}

export function paint(canvas: HTMLCanvasElement, pixels: Uint8ClampedArray<ArrayBuffer>, width: number, height: number): void {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** Rows and columns of a canvas, the last ones not included. */
export function paintPart(canvas: HTMLCanvasElement, pixels: Uint8ClampedArray<ArrayBuffer>, [rows, columns]: [[number, number], [number, number]]): void {
  const [height, width] = [rows[1] - rows[0], columns[1] - columns[0]];
  if (height > 0 && width > 0) canvas.getContext("2d")?.putImageData(new ImageData(pixels, width, height), columns[0], rows[0]);
}

/** So many colours that are told apart, the first ones by colour-blind people too. */
export function wheel(count: number): Colour[] {
  const base: Colour[] = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167], [136, 34, 85], [68, 170, 153], [153, 153, 51], [51, 34, 136], [221, 204, 119]];
  return Array.from({ length: count }, (_, i) => {
    const lighter = Math.floor(i / base.length) % 3;
    return base[i % base.length]!.map((v) => Math.round(v + ((255 - v) * lighter) / 3)) as Colour;
  });
}
