// Formulas by KaTeX, for the lab and a notebook. Its fonts count in the document alone, not in a
// shadow root, so they are added there, from bytes that came with the module.
import katex from "katex";
import faces from "katex:fonts";
import css from "katex:css";

export { css };

let added = false;

export function fonts() {
  if (added || !globalThis.FontFace) return;
  added = true;
  for (const [family, style, weight, data] of faces) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    document.fonts.add(new FontFace(family, bytes, { style, weight }));
  }
}

export function formula(tex, display) {
  const element = document.createElement(display ? "div" : "span");
  element.className = display ? "formula display" : "formula";
  try {
    fonts();
    katex.render(tex, element, { displayMode: !!display, throwOnError: false, trust: false, maxExpand: 200, maxSize: 20, strict: "ignore" });
  } catch {
    element.textContent = tex;
  }
  return element;
}
