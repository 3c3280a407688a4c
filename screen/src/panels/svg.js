// A pen that writes SVG in place of painting: the strokes of a panel, kept as text.

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const r = (value) => Math.round(value * 100) / 100;

export class SvgPen {
  constructor(width, height) {
    Object.assign(this, { width, height, parts: [], path: "", dash: [], strokeStyle: "#000", fillStyle: "#000", lineWidth: 1, globalAlpha: 1 });
  }
  beginPath() { this.path = ""; }
  moveTo(x, y) { this.path += `M${r(x)} ${r(y)}`; }
  lineTo(x, y) { this.path += `L${r(x)} ${r(y)}`; }
  closePath() { this.path += "Z"; }
  arc(x, y, radius) { this.path += `M${r(x - radius)} ${r(y)}a${r(radius)} ${r(radius)} 0 1 0 ${r(2 * radius)} 0a${r(radius)} ${r(radius)} 0 1 0 ${r(-2 * radius)} 0Z`; }
  setLineDash(dash) { this.dash = dash; }
  stroke() {
    const dash = this.dash.length ? ` stroke-dasharray="${this.dash.map(r).join(" ")}"` : "";
    this.parts.push(`<path d="${this.path}" fill="none" stroke="${escape(this.strokeStyle)}" stroke-width="${r(this.lineWidth)}" stroke-opacity="${r(this.globalAlpha)}"${dash}/>`);
  }
  fill() { this.parts.push(`<path d="${this.path}" fill="${escape(this.fillStyle)}" fill-opacity="${r(this.globalAlpha)}"/>`); }
  rect(x, y, width, height, color) { this.parts.push(`<rect x="${r(x)}" y="${r(y)}" width="${r(width)}" height="${r(height)}" fill="${escape(color)}"/>`); }
  text(x, y, words, { color, anchor = "start", size = 11, turn = 0 }) {
    const turned = turn ? ` transform="rotate(${turn} ${r(x)} ${r(y)})"` : "";
    this.parts.push(`<text x="${r(x)}" y="${r(y)}" fill="${escape(color)}" font-size="${size}" text-anchor="${anchor}"${turned}>${escape(words)}</text>`);
  }
  open(box) { this.parts.push(`<svg x="${r(box.left)}" y="${r(box.top)}" width="${r(box.width)}" height="${r(box.height)}" viewBox="${r(box.left)} ${r(box.top)} ${r(box.width)} ${r(box.height)}">`); }
  close() { this.parts.push("</svg>"); }
  done(ground) {
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${this.height}" viewBox="0 0 ${this.width} ${this.height}" font-family="system-ui, Helvetica, Arial, sans-serif"><rect width="100%" height="100%" fill="${escape(ground)}"/>${this.parts.join("")}</svg>`;
  }
}

// A plot as it stands, with its axes, below its title and above what its curves are called.
export function plotSvg(plot, title) {
  const { chart: u, looks } = plot, ratio = devicePixelRatio || 1, top = 26, foot = 20 * Math.ceil((plot.curves.length || 1) / 3);
  const pen = new SvgPen(plot.width, plot.height + top + foot);
  const quiet = looks.get("--quiet"), grid = looks.get("--grid");
  const box = { left: u.bbox.left / ratio, top: u.bbox.top / ratio + top, width: u.bbox.width / ratio, height: u.bbox.height / ratio };
  const at = { x: (v) => u.valToPos(v, "x", true) / ratio, y: (v) => u.valToPos(v, "y", true) / ratio + top };
  pen.text(12, 17, title, { color: looks.get("--ink"), size: 13 });
  for (const [i, name] of ["x", "y"].entries()) {
    const axis = u.axes[i], splits = axis._splits ?? [], values = axis._values ?? [];
    splits.forEach((split, k) => {
      if (split === null || !values[k]) return;
      const where = at[name](split);
      pen.strokeStyle = grid;
      pen.lineWidth = 1;
      pen.beginPath();
      if (name === "x") (pen.moveTo(where, box.top), pen.lineTo(where, box.top + box.height));
      else (pen.moveTo(box.left, where), pen.lineTo(box.left + box.width, where));
      pen.stroke();
      if (name === "x") pen.text(where, box.top + box.height + 16, values[k], { color: quiet, anchor: "middle" });
      else pen.text(box.left - 6, where + 4, values[k], { color: quiet, anchor: "end" });
    });
  }
  pen.text(box.left + box.width / 2, box.top + box.height + 32, plot.x.label, { color: quiet, anchor: "middle" });
  pen.text(11, box.top + box.height / 2, plot.y.label, { color: quiet, anchor: "middle", turn: -90 });
  pen.open(box);
  plot.strokes(pen, at, box, 1);
  pen.close();
  plot.curves.filter((one) => one.name).forEach((curve, i) => {
    const x = 12 + (i % 3) * (plot.width / 3), y = plot.height + top + 14 + 20 * Math.floor(i / 3);
    Object.assign(pen, { strokeStyle: curve.color, lineWidth: 2, globalAlpha: 1, dash: curve.dash ?? [] });
    pen.beginPath();
    pen.moveTo(x, y - 4);
    pen.lineTo(x + 22, y - 4);
    pen.stroke();
    pen.dash = [];
    pen.text(x + 28, y, curve.name, { color: looks.get("--ink") });
  });
  return pen.done(looks.get("--paper"));
}
