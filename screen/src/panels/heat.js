// A matrix as a heat map: blue below, orange above nothing; the pointer or the arrows give numbers,
// a click or Enter opens what can be done to the entry.
import { h, number } from "../dom.js";

export class Heat {
  constructor(panel, host) {
    this.panel = panel;
    this.lab = panel.lab;
    this.cell = null;
    this.canvas = h("canvas", {
      class: "heat", tabindex: "0", role: "img",
      on: {
        pointermove: (e) => this.over(this.cellAt(e)), pointerleave: () => this.over(null),
        click: (e) => this.pick(this.cellAt(e), e), keydown: (e) => this.key(e), focus: () => this.over(this.cell ?? [0, 0]), blur: () => this.over(null),
      },
    });
    this.frame = h("div", { class: "ring", hidden: true });
    this.scale = h("div", { class: "scale", "aria-hidden": "true" });
    this.area = h("div", { class: "heated" }, this.canvas, this.frame);
    host.replaceChildren(this.area, this.scale);
    this.off = this.lab.looks.onChange(() => this.paint());
    this.sized = new ResizeObserver(() => this.fit());
    this.sized.observe(this.area);
  }

  destroy() {
    this.off();
    this.sized.disconnect();
  }

  set(values, rows, columns, { labels, name, axes } = {}) {
    Object.assign(this, { values, rows, columns, labels, name, axes });
    let most = 0;
    for (let i = 0; i < rows * columns; i++) if (Number.isFinite(values[i])) most = Math.max(most, Math.abs(values[i]));
    // the scale follows upward at once, downward only by half, so that colors do not flicker
    if (!this.most || most > this.most || most < 0.5 * this.most) this.most = most * 1.05 || 1;
    this.paint();
    this.fit();
    if (this.cell) this.over(this.cell);
  }

  paint() {
    if (!this.values) return;
    const { canvas, rows, columns, values } = this;
    if (canvas.width !== columns) canvas.width = columns;
    if (canvas.height !== rows) canvas.height = rows;
    const pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) {
      const value = values[i], color = Number.isFinite(value) ? this.lab.looks.diverging(value / this.most) : [150, 150, 150];
      image.data.set([...color, 255], 4 * i);
    }
    pen.putImageData(image, 0, 0);
    canvas.setAttribute("aria-label", `${this.name ?? "matrix"}, ${rows} rows by ${columns} columns, between ${number(-this.most)} and ${number(this.most)}`);
    const { looks } = this.lab, stop = (share) => `rgb(${looks.diverging(share).join(" ")})`;
    this.scale.style.background = "none";
    this.scale.replaceChildren(h("span", {}, number(-this.most, 2)), h("i", { style: { background: `linear-gradient(90deg, ${[-1, -0.5, 0, 0.5, 1].map(stop).join(",")})` } }), h("span", {}, number(this.most, 2)));
  }

  // Entries are square where they fit, and fill what there is.
  fit() {
    if (!this.rows) return;
    const { clientWidth: width, clientHeight: height } = this.area;
    if (!width || !height) return;
    const side = Math.min(width / this.columns, height / this.rows);
    const stretch = side * this.columns < width * 0.45 || side * this.rows < height * 0.45;
    const w = stretch ? Math.min(width, 40 * side * this.columns) : side * this.columns, t = stretch ? Math.min(height, 40 * side * this.rows) : side * this.rows;
    Object.assign(this.canvas.style, { width: `${Math.floor(w)}px`, height: `${Math.floor(t)}px` });
    if (this.cell) this.ring();
  }

  cellAt(event) {
    const box = this.canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.rows), column = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
    return row >= 0 && column >= 0 && row < this.rows && column < this.columns ? [row, column] : null;
  }

  over(cell) {
    this.cell = cell ?? (this.lab.root.activeElement === this.canvas ? this.cell : null);
    this.frame.hidden = !this.cell;
    this.panel.at.textContent = this.cell ? this.said(this.cell) : "";
    if (this.cell) this.ring();
  }

  said([row, column]) {
    const name = (axis, at) => this.labels?.[axis]?.[at] ?? `${at}`;
    const where = this.rows === 1 ? name(1, column) : `${name(0, row)}, ${name(1, column)}`;
    return `[${where}] ${number(this.values[row * this.columns + column], 5)}`;
  }

  ring() {
    const box = this.canvas, [row, column] = this.cell;
    const w = box.clientWidth / this.columns, t = box.clientHeight / this.rows;
    Object.assign(this.frame.style, { left: `${box.offsetLeft + column * w}px`, top: `${box.offsetTop + row * t}px`, width: `${Math.max(6, w)}px`, height: `${Math.max(6, t)}px` });
  }

  key(event) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (by && !event.altKey) {
      const [row, column] = this.cell ?? [0, 0];
      this.over([Math.max(0, Math.min(this.rows - 1, row + by[0])), Math.max(0, Math.min(this.columns - 1, column + by[1]))]);
      this.lab.announce(this.panel.at.textContent);
    } else if ((event.key === "Enter" || event.key === " ") && this.cell) {
      const box = this.frame.getBoundingClientRect();
      this.pick(this.cell, { clientX: box.right, clientY: box.bottom });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  pick(cell, event) {
    if (cell && this.onPick) this.onPick(cell, event, this.values[cell[0] * this.columns + cell[1]]);
  }
}
