// Predict first: the curve as one expects it, drawn by mouse, touch or keys before the run is shown;
// what is measured stays hidden until the run has covered it.
import { button, h, number } from "../dom.js";

export class Drawing {
  constructor(view) {
    this.view = view;
    this.lab = view.lab;
    this.state = "none"; // none, drawing, sent, scored
    this.points = [];
  }

  get hides() {
    return this.state === "drawing" || this.state === "sent";
  }

  begin() {
    this.state = "drawing";
    this.points = [];
    this.branch = this.lab.store.branch;
    this.pad?.remove();
    this.pad = h("div", {
      class: "pad", tabindex: "0", role: "application",
      "aria-label": "Draw the curve that you expect, from left to right. By keys: arrows move the pen, Enter sets a point, Escape ends.",
      on: { pointerdown: (e) => this.down(e), pointermove: (e) => this.move(e), pointerup: (e) => this.up(e), keydown: (e) => this.key(e) },
    });
    this.view.plotted.append(this.pad);
    this.place();
    this.pad.focus();
    this.view.update();
    this.lab.announce("Draw the curve that you expect.");
  }

  place() {
    if (!this.pad) return;
    const u = this.view.plot.chart, ratio = devicePixelRatio || 1;
    Object.assign(this.pad.style, { left: `${u.bbox.left / ratio}px`, top: `${u.bbox.top / ratio}px`, width: `${u.bbox.width / ratio}px`, height: `${u.bbox.height / ratio}px` });
  }

  at(event) {
    const box = this.pad.getBoundingClientRect(), u = this.view.plot.chart;
    return [u.posToVal(event.clientX - box.left, "x"), u.posToVal(event.clientY - box.top, "y")];
  }

  down(event) {
    event.preventDefault();
    this.pad.setPointerCapture(event.pointerId);
    this.pressed = true;
    this.frozen = this.view.plot.extent();
    this.points = this.points.length > 1 ? this.points : [];
    this.add(this.at(event));
  }

  move(event) {
    if (this.pressed) for (const one of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) this.add(this.at(one));
  }

  up() {
    this.pressed = false;
  }

  // From left to right: what stands to the right of a new point is drawn over.
  add([x, y]) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) return;
    const { min, max } = this.view.plot.x;
    x = Math.max(min, Math.min(max, x));
    const gap = (max - min) / 400;
    this.points = this.points.filter((one) => Math.abs(one[0] - x) > gap);
    this.points.push([x, y]);
    this.points.sort((a, b) => a[0] - b[0]);
    if (this.points.length > 600) this.points = this.points.filter((_, i) => i % 2 === 0);
    this.view.update();
  }

  key(event) {
    const u = this.view.plot.chart, box = this.pad.getBoundingClientRect();
    this.pen ??= [0, box.height / 2];
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (by) {
      this.pen = [Math.max(0, Math.min(box.width, this.pen[0] + (by[0] * box.width) / 20)), Math.max(0, Math.min(box.height, this.pen[1] + (by[1] * box.height) / 20))];
      const point = [u.posToVal(this.pen[0], "x"), u.posToVal(this.pen[1], "y")];
      this.lab.announce(`time ${number(point[0])}, value ${number(point[1])}`);
    } else if (event.key === "Enter") this.add([u.posToVal(this.pen[0], "x"), u.posToVal(this.pen[1], "y")]);
    else if (event.key === "Escape") this.end();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  end() {
    this.state = "none";
    this.points = [];
    this.pad?.remove();
    this.pad = null;
    this.view.update();
  }

  async keep() {
    if (this.points.length < 2) return this.lab.announce("A prediction needs two points at least.");
    this.pad?.remove();
    this.pad = null;
    this.state = "sent";
    const series = this.branch.series.get(this.view.panel.spec.quantity);
    this.entry = series ? this.view.entries(series)[0] ?? 0 : 0;
    this.view.update();
    await this.lab.store.ask("draw", { branch: this.branch.id, quantity: this.view.panel.spec.quantity, entry: this.entry, points: this.points });
    this.lab.announce("Kept. Press play to see what comes.");
  }

  scored(said) {
    this.state = "scored";
    this.result = said;
    this.view.update();
  }

  curve() {
    if (this.points.length < 2 || this.state === "none") return null;
    return {
      xs: Float64Array.from(this.points, (one) => one[0]), ys: Float64Array.from(this.points, (one) => one[1]), stride: 1, offset: 0, count: this.points.length,
      color: this.lab.looks.get("--pen"), width: 3, alpha: 0.75, name: "your prediction", ghost: true,
    };
  }

  words() {
    if (this.state === "none") return null;
    if (this.state === "drawing") return h("span", { class: "chip tools" }, "Draw what you expect ", button("Keep it", () => this.keep(), { class: "main small" }), button("Not now", () => this.end(), { class: "small" }));
    if (this.state === "sent") return h("span", { class: "chip tools" }, "Your prediction is kept; the run is shown when it has come this far.");
    const { score, words } = this.result;
    return h("span", { class: "chip tools score" }, `Your prediction: ${words ?? number(score)}`, button("Done", () => this.end(), { class: "small" }));
  }
}
