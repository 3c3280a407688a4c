// Formulas as they are written, where a page has no lessons.
export const css = "";

export function formula(tex, display) {
  const element = document.createElement(display ? "div" : "span");
  element.className = "formula plain";
  element.textContent = tex;
  return element;
}
