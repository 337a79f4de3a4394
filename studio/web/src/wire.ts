// The one WebSocket: questions out, frames in. Of each channel the latest question counts; what answers an older one is dropped.

export type Header = Record<string, unknown> & { channel: string; number: number; done: boolean; error: string | null };
export type Numbers = Uint8Array | Float32Array;
export interface Plane {
  shape: number[];
  data: Numbers;
}
export type Arrays = Record<string, Plane>;
type Heard = (header: Header, arrays: Arrays) => void;

const LATE = 400; // milliseconds after which a question that waits behind another is sent all the same
const WAITS = [200, 500, 1000, 2000, 4000]; // milliseconds between attempts to connect again

function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

let halves: Float32Array | null = null; // every float16 as a number, made when the first one comes

export function decode(frame: ArrayBuffer): [Header & { frame: number }, Arrays] {
  const length = new DataView(frame).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(frame, 4, length)));
  const arrays: Arrays = {};
  for (const [name, placed] of Object.entries<{ kind: string; shape: number[]; at: number }>(header.arrays)) {
    const count = placed.shape.reduce((a, b) => a * b, 1);
    const start = 4 + length + placed.at;
    if (placed.kind === "uint8") arrays[name] = { shape: placed.shape, data: new Uint8Array(frame, start, count) };
    else if (placed.kind === "float32") arrays[name] = { shape: placed.shape, data: new Float32Array(frame, start, count) };
    else if (placed.kind === "int32") arrays[name] = { shape: placed.shape, data: Float32Array.from(new Int32Array(frame, start, count)) };
    else if (placed.kind === "float16") {
      const bits = new Uint16Array(frame, start, count);
      halves ??= Float32Array.from({ length: 1 << 16 }, (_, i) => half(i));
      const data = new Float32Array(count);
      for (let i = 0; i < count; i++) data[i] = halves[bits[i]!]!;
      arrays[name] = { shape: placed.shape, data };
    }
  }
  return [header, arrays];
}

export class Wire {
  private socket: WebSocket | null = null;
  private number = 0;
  private readonly latest = new Map<string, { number: number; heard: Heard; question: object }>();
  private readonly flying = new Map<string, { number: number; heard: Heard; timer: number }>(); // of what follows the pointer
  private failures = 0;

  /** told: what to say of the connection, empty where all is well. back: called when it stands again. */
  constructor(private readonly told: (text: string) => void, private readonly back: () => void) {
    this.connect();
  }

  private connect(): void {
    const socket = new WebSocket(`ws://${location.host}/live`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const again = this.failures > 0;
      this.failures = 0;
      this.told("");
      for (const { timer } of this.flying.values()) clearTimeout(timer);
      this.flying.clear();
      if (again) this.back();
      else for (const { number, question } of this.latest.values()) this.send({ ...question, number });
    };
    socket.onmessage = (event) => this.hear(event.data as ArrayBuffer);
    socket.onclose = () => {
      this.socket = null;
      const wait = WAITS[Math.min(this.failures++, WAITS.length - 1)] ?? 4000;
      this.told("The studio does not answer; is it still running? Trying again.");
      setTimeout(() => this.connect(), wait);
    };
    this.socket = socket;
  }

  private send(message: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  private hear(frame: ArrayBuffer): void {
    const [header, arrays] = decode(frame);
    const asked = this.latest.get(header.channel);
    const flown = this.flying.get(header.channel);
    if (flown?.number === header.number) {
      clearTimeout(flown.timer);
      this.flying.delete(header.channel);
      if (asked && asked.number !== header.number) {
        if (!header.done) flown.heard(header, arrays);
        this.launch(header.channel);
      }
    }
    if (asked?.number === header.number) {
      if (header.done) this.latest.delete(header.channel);
      if (!header.done || header.error) asked.heard(header, arrays);
    }
    // The next frame is sent when this one has been painted.
    requestAnimationFrame(() => this.send({ shown: header.frame }));
  }

  /** Ask; heard is called for each part of the answer, and with an error in words where there is none. */
  ask(channel: string, question: Record<string, unknown> & { kind: string }, heard: Heard): void {
    const number = ++this.number;
    const whole = { ...question, channel };
    this.latest.set(channel, { number, heard, question: whole });
    this.send({ ...whole, number });
  }

  /** As `ask`, for what follows the pointer: the next question goes out when the one before has its first part, which is
   * shown; so something is seen while the pointer moves, however fast it does. */
  follow(channel: string, question: Record<string, unknown> & { kind: string }, heard: Heard): void {
    this.latest.set(channel, { number: ++this.number, heard, question: { ...question, channel } });
    if (!this.flying.has(channel)) this.launch(channel);
  }

  private launch(channel: string): void {
    const wanted = this.latest.get(channel);
    if (!wanted) return;
    const late = (): void => {
      this.flying.delete(channel);
      if (this.latest.get(channel)?.number !== wanted.number) this.launch(channel);
    };
    this.flying.set(channel, { number: wanted.number, heard: wanted.heard, timer: window.setTimeout(late, LATE) });
    this.send({ ...wanted.question, number: wanted.number });
  }

  cancel(channel: string): void {
    clearTimeout(this.flying.get(channel)?.timer);
    this.flying.delete(channel);
    if (this.latest.delete(channel)) this.send({ channel, number: this.number, cancel: true });
  }
}
