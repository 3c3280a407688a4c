// What stands at the cursor: drawn by what it is, one axis as a curve, two as a heat map, three as
// small ones side by side; samples with what the network says of them.
import { fill, h, number } from "../dom.js";
import { SHAPES } from "../looks.js";
import { Heat } from "./heat.js";
import { Plot } from "./plot.js";
import { quoted } from "./curves.js";
import { touch } from "../controls/touch.js";

export class Moment {
  constructor(panel) {
    this.panel = panel;
    this.lab = panel.lab;
    this.inside = h("div", { class: "moment" }, h("p", { class: "waiting" }, "…"));
    fill(panel.body, this.inside);
    this.form = null;
  }

  destroy() {
    this.drawn?.destroy?.();
    for (const one of this.many ?? []) one.destroy();
  }

  update() {}

  refused(words) {
    this.destroy();
    this.form = null;
    this.drawn = this.many = null;
    fill(this.inside, h("p", { class: "waiting" }, words));
  }

  show(moment) {
    this.moment = moment;
    const { shape } = moment;
    const form = moment.kind === "samples" ? "samples" : shape.length <= 1 ? (moment.kind === "weights" ? "heat" : "curve") : shape.length === 2 && moment.x ? "curve" : shape.length === 2 ? "heat" : "grid";
    if (form !== this.form) {
      this.destroy();
      this.drawn = this.many = null;
      this.form = form;
      this.inside.replaceChildren();
      this.inside.className = `moment as-${form}`;
    }
    this[form](moment);
  }

  curve(moment) {
    if (!this.drawn) {
      this.legend = h("div", { class: "legend" });
      const plotted = h("div", { class: "plot" });
      fill(this.inside, this.legend, plotted);
      this.drawn = new Plot(plotted, { looks: this.lab.looks, height: Math.max(120, plotted.clientHeight || 170), onHover: (x) => this.reading(x) });
    }
    const { values, x, extra = {} } = moment, several = moment.shape.length === 2 ? moment.shape[0] : 1, count = values.length / several;
    const xs = x ?? Float64Array.from({ length: count }, (_, i) => i + 1);
    const over = (this.panel.spec.log ?? extra.log) === true;
    const curves = Array.from({ length: Math.min(several, 8) }, (_, i) => ({
      xs, ys: values.subarray(i * count, (i + 1) * count), stride: 1, offset: 0, count, color: this.lab.looks.color(i), mark: SHAPES[i % SHAPES.length], place: i, line: !!x || count > 40, size: 3,
      name: several > 1 ? `${moment.axes?.[0] ?? ""} ${i + 1}` : moment.title ?? moment.kind,
    }));
    (extra.lines ?? []).forEach((one, i) => {
      const ys = moment.buffers[one.values];
      if (ys) curves.push({ xs, ys, stride: 1, offset: 0, count: Math.min(count, ys.length), color: this.lab.looks.color(i + 1), mark: SHAPES[(i + 1) % SHAPES.length], name: one.name });
    });
    const ends = count ? [Math.min(xs[0], xs[count - 1]), Math.max(xs[0], xs[count - 1])] : [0, 1];
    this.drawn.set({
      x: { label: extra.x_label ?? moment.axes?.[0] ?? "", min: ends[0], max: ends[1] },
      y: { label: extra.y_label ?? moment.units ?? "", log: over }, curves,
      level: Number.isFinite(extra.bound) ? { value: extra.bound } : null, cursor: extra.here ?? null,
    });
    const words = [extra.bound !== null && extra.bound !== undefined ? `${extra.bound_label ?? "bound"} ${number(extra.bound)} (dotted)` : "", extra.words ?? ""].filter(Boolean);
    this.legend.textContent = words.join(" · ");
  }

  reading(x) {
    const { values, x: xs } = this.moment;
    if (x === null || x === undefined) return void (this.panel.at.textContent = "");
    let best = 0;
    const count = xs?.length ?? values.length;
    for (let i = 0; i < count; i++) if (Math.abs((xs ? xs[i] : i + 1) - x) < Math.abs((xs ? xs[best] : best + 1) - x)) best = i;
    this.panel.at.textContent = `${number(xs ? xs[best] : best + 1)}: ${number(values[best], 5)}`;
  }

  heat(moment) {
    this.drawn ??= new Heat(this.panel, this.inside);
    const [rows, columns] = moment.shape.length > 1 ? moment.shape : [1, moment.shape[0] ?? 1];
    this.drawn.onPick = moment.kind === "weights" && this.lab.store.kind !== "report" ? (cell, event, value) => touch(this.lab, moment.extra?.address ?? this.panel.spec.address ?? moment.title, cell, value, event) : null;
    this.drawn.set(moment.values, rows, columns, { labels: moment.labels, axes: moment.axes, name: this.panel.title });
  }

  // Small heat maps over the first axis: heads, channels, samples.
  grid(moment) {
    const [rows, columns] = moment.shape.slice(-2), size = rows * columns;
    const most = Math.min(moment.values.length / size, 12);
    if (this.many?.length !== most) {
      const cells = Array.from({ length: most }, () => h("div", { class: "cell" }));
      fill(this.inside, cells);
      this.many = cells.map((cell) => new Heat(this.panel, cell));
    }
    this.many.forEach((one, i) => one.set(moment.values.subarray(i * size, (i + 1) * size), rows, columns, { labels: moment.labels?.slice(-2), name: `${this.panel.title}, ${i}` }));
  }

  samples(moment) {
    const [n, ...shape] = moment.shape, size = shape.reduce((a, b) => a * b, 1);
    const side = shape.length === 2 ? shape : Number.isInteger(Math.sqrt(size)) && size >= 16 ? [Math.sqrt(size), Math.sqrt(size)] : [1, size];
    const said = moment.extra?.said ?? [];
    if (this.cards?.length !== n) {
      this.cards = Array.from({ length: n }, () => {
        const card = h("figure", { class: "sample" }, h("canvas", { role: "img" }), h("figcaption", {}));
        return card;
      });
      fill(this.inside, this.cards);
    }
    this.cards.forEach((card, i) => {
      const [canvas, caption] = card.children, one = said[i] ?? {};
      const words = one.given !== undefined ? `${one.said} for ${one.given}` : `${one.said ?? i}`;
      gray(canvas, moment.values.subarray(i * size, (i + 1) * size), side, this.lab.looks.dark);
      canvas.setAttribute("aria-label", `sample ${i}: ${words}`);
      const sign = one.right === true ? "✓ " : one.right === false ? "✗ " : "";
      if (caption.textContent !== sign + words) caption.textContent = sign + words;
      card.classList.toggle("wrong", one.right === false);
    });
  }

  menu() {
    return this.form === "curve" ? [{ words: (this.panel.spec.log ?? this.moment?.extra?.log) ? "Linear axis" : "Log axis", act: () => ((this.panel.spec.log = !(this.panel.spec.log ?? this.moment?.extra?.log)), this.show(this.moment)) }] : [];
  }

  get plot() {
    return this.form === "curve" ? this.drawn : null;
  }

  csv() {
    const { values, shape, x } = this.moment ?? {};
    if (!values) return "";
    const columns = shape.length > 1 ? shape[shape.length - 1] : 1, lines = [];
    for (let i = 0; i < values.length; i += columns) lines.push([...(x && columns === 1 ? [x[i]] : []), ...values.subarray(i, i + columns)].join(","));
    return [quoted(this.panel.title), ...lines].join("\n") + "\n";
  }
}

function gray(canvas, values, [rows, columns], dark) {
  let low = Infinity, high = -Infinity;
  for (const one of values) {
    if (one < low) low = one;
    if (one > high) high = one;
  }
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d"), image = pen.createImageData(columns, rows);
  values.forEach((one, i) => {
    const share = (one - low) / (high - low || 1), shade = Math.round(dark ? 30 + 215 * share : 250 - 225 * share);
    image.data.set([shade, shade, shade, 255], 4 * i);
  });
  pen.putImageData(image, 0, 0);
}
