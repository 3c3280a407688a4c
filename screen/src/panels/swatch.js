// A piece of a curve beside its name: color, dash and mark as they are drawn.
import { MARKS } from "../looks.js";
import { SvgPen } from "./svg.js";

export function swatch(color, dash, mark) {
  const pen = new SvgPen(26, 12);
  Object.assign(pen, { strokeStyle: color, fillStyle: color, lineWidth: 2 });
  pen.setLineDash(dash ?? []);
  pen.beginPath();
  pen.moveTo(1, 6);
  pen.lineTo(25, 6);
  pen.stroke();
  if (mark) {
    pen.beginPath();
    MARKS[mark](pen, 13, 6, 3.4);
    pen.fill();
  }
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 26 12");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "swatch");
  for (const part of pen.parts) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    for (const [, name, value] of part.matchAll(/([a-z-]+)="([^"]*)"/g)) path.setAttribute(name, value);
    svg.append(path);
  }
  return svg;
}
