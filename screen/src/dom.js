// Elements. Text is set as text and never read as HTML: names and words come from users' files.

export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  put(element, children);
  return element;
}

export function put(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child.nodeType ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren();
  return put(element, children);
}

const paths = {
  play: "M7 5l11 7-11 7z", pause: "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z", step: "M6 5l8 7-8 7zM16 5h2.5v14H16z",
  mark: "M4 6l6.5 6L4 18zM11 6l6.5 6L11 18zM18.5 5H20v14h-1.5z", close: "M6.4 5L12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6l5.6-5.6L5 6.4z",
  more: "M5 10.2a1.8 1.8 0 110 3.6 1.8 1.8 0 010-3.6zm7 0a1.8 1.8 0 110 3.6 1.8 1.8 0 010-3.6zm7 0a1.8 1.8 0 110 3.6 1.8 1.8 0 010-3.6z",
  plus: "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z", back: "M14.5 5.5L8 12l6.5 6.5 1.4-1.4L10.8 12l5.1-5.1z", live: "M5 5l9 7-9 7zM15 5l0 14h2V5z",
  pen: "M4 20l1-4.5L16 4.5 19.5 8 8.5 19z", help: "M11 17h2v2h-2zM12 5a4 4 0 00-4 4h2a2 2 0 114 0c0 2-3 2.2-3 5.5h2c0-2.3 3-2.8 3-5.5a4 4 0 00-4-4z",
};

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", paths[name]);
  svg.append(path);
  return svg;
}

export function button(label, act, props = {}, ...inside) {
  return h("button", { type: "button", "aria-label": inside.length ? label : null, title: inside.length ? label : null, ...props, on: { click: act } },
    inside.length ? inside : label);
}

// A number as it stands beside a curve: six digits at most, of one width in tabular figures.
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return signed(value.toExponential(digits - 2).replace(/\.?0*e\+?/, "e"));
  return signed(String(Number(value.toPrecision(digits))));
}

const signed = (text) => text.replaceAll("-", "−");

const SUPER = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
export const power = (exponent) => (exponent === 0 ? "1" : exponent === 1 ? "10" : "10" + [...String(exponent)].map((one) => SUPER[one]).join(""));

let serial = 0;
export const fresh = (word) => `${word}-${++serial}`;

export function save(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
