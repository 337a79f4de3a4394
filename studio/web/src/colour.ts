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

const table = (stops: Colour[]): Uint8Array => Uint8Array.from(Array.from({ length: 256 }, (_, i) => ramp(stops, i / 255)).flat());
const TABLES = { light: table(LIGHT), signed: table(SIGNED) };

/** Numbers as pixels: from 0 or `low` to `high` where none is below zero, else from -most over 0 to most. */
export function coloured(data: ArrayLike<number>, low: number, high: number, opacity = 255): Uint8ClampedArray<ArrayBuffer> {
  const signed = low < 0 && high > 0;
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const range = high - low || 1;
  const colours = signed ? TABLES.signed : TABLES.light;
  const out = new Uint8ClampedArray(data.length * 4);
  for (let i = 0; i < data.length; i++) {
    const v = data[i]!;
    if (Number.isNaN(v)) continue; // stays clear
    const share = signed ? 0.5 + v / most / 2 : (v - low) / range;
    const at = 3 * Math.min(255, Math.max(0, Math.round(share * 255)));
    out[4 * i] = colours[at]!;
    out[4 * i + 1] = colours[at + 1]!;
    out[4 * i + 2] = colours[at + 2]!;
    out[4 * i + 3] = opacity;
  }
  return out;
}

/** Pixels (H, W, 1 or 3) as a canvas takes them. */
export function opaque(data: ArrayLike<number>, channels: number): Uint8ClampedArray<ArrayBuffer> {
  const count = data.length / channels;
  const out = new Uint8ClampedArray(count * 4);
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < 3; c++) out[4 * i + c] = data[channels * i + (channels === 3 ? c : 0)]!;
    out[4 * i + 3] = 255;
  }
  return out;
}

export function paint(canvas: HTMLCanvasElement, pixels: Uint8ClampedArray<ArrayBuffer>, width: number, height: number): void {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** So many colours that are told apart, the first ones by colour-blind people too. */
export function wheel(count: number): Colour[] {
  const base: Colour[] = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167], [136, 34, 85], [68, 170, 153], [153, 153, 51], [51, 34, 136], [221, 204, 119]];
  return Array.from({ length: count }, (_, i) => {
    const lighter = Math.floor(i / base.length) % 3;
    return base[i % base.length]!.map((v) => Math.round(v + ((255 - v) * lighter) / 3)) as Colour;
  });
}
