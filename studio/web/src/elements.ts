// Making and finding elements; all text goes in as text, so that no name can be read as markup.

const SVG = "http://www.w3.org/2000/svg";

export function by<T extends Element = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found as unknown as T;
}

type Attributes = Record<string, string | number | boolean>;

function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...inside: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...inside);
  return element;
}

export function draw<K extends keyof SVGElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...inside: (Node | string)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  set(element, attributes);
  element.append(...inside);
  return element;
}

/** Arrow keys move through the options of a list box, as its role promises. */
export function listbox(element: HTMLElement, chosen: (option: HTMLElement) => void): void {
  const options = (): HTMLElement[] => [...element.querySelectorAll<HTMLElement>("[role=option]")];
  element.addEventListener("click", (event) => {
    const option = (event.target as Element).closest<HTMLElement>("[role=option]");
    if (option) chosen(option);
  });
  element.addEventListener("keydown", (event) => {
    const all = options();
    const now = all.findIndex((o) => o.getAttribute("aria-selected") === "true");
    const moves: Record<string, number> = {
      ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: all.length - 1,
    };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const option = all[Math.min(Math.max(next, 0), all.length - 1)];
    if (option) chosen(option);
  });
}

export function select(element: HTMLElement, option: HTMLElement | undefined): void {
  for (const other of element.querySelectorAll("[aria-selected=true]")) other.setAttribute("aria-selected", "false");
  if (!option) return;
  option.setAttribute("aria-selected", "true");
  option.id ||= `option-${element.id}-${[...element.children].indexOf(option)}`;
  element.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest", inline: "nearest" });
}

export const counted = (n: number): string => n.toLocaleString("en-US");
export function short(n: number): string {
  for (const [most, divisor, unit] of [[1e9, 1e9, " G"], [1e6, 1e6, " M"], [1e3, 1e3, " k"]] as const) {
    if (n >= most) return (n / divisor).toPrecision(3) + unit;
  }
  return String(n);
}
