// Curves on axes. uPlot lays out axes, scales, zoom and the pointer; the curves themselves have
// grids of their own (blocks, history, theory, other branches) and are drawn here, to the canvas or
// as SVG by the same strokes.
import uPlot from "uplot";
import { number, power } from "../dom.js";
import { MARKS } from "../looks.js";

const FONT = "11px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif";

export class Plot {
  constructor(host, { looks, onHover = () => {}, onPin = () => {}, height = 180 }) {
    Object.assign(this, { host, looks, onHover, onPin, height });
    this.curves = [];
    this.bands = [];
    this.zoom = null;
    this.x = { label: "", min: 0, max: 1 };
    this.y = { label: "", log: false };
    this.cursor = null;
    this.pinned = null;
    this.level = null;
    this.log = null;
    this.dirty = true;
    this.width = Math.max(120, Math.floor(host.clientWidth) || 320);
    this.make();
    this.sized = new ResizeObserver(() => this.resize());
    this.sized.observe(host);
    this.repaint = looks.onChange(() => this.make());
  }

  destroy() {
    this.sized.disconnect();
    this.repaint();
    this.chart?.destroy();
  }

  resize() {
    const width = Math.floor(this.host.clientWidth), height = Math.floor(this.host.clientHeight);
    if (width < 60 || height < 60 || (width === this.width && height === this.height)) return;
    this.width = width;
    this.height = height;
    this.chart.setSize({ width, height });
  }

  make() {
    this.chart?.destroy();
    const { looks } = this;
    const axis = (side) => ({
      stroke: looks.get("--quiet"), font: FONT, labelFont: FONT, labelSize: 16, labelGap: 0, gap: 4, label: " ",
      grid: { stroke: looks.get("--grid"), width: 1 }, ticks: { stroke: looks.get("--grid"), width: 1, size: 4 },
      size: side === "y" ? 46 : 24,
    });
    const log = (this.log = !!this.y.log);
    this.range = this.extent();
    const options = {
      width: this.width, height: this.height, legend: { show: false }, padding: [8, 12, 0, 0],
      scales: {
        x: { time: false, range: () => this.zoom ?? [this.x.min, this.x.max > this.x.min ? this.x.max : this.x.min + 1] },
        y: { distr: log ? 3 : 1, log: 10, range: () => (this.range = this.extent()) },
      },
      axes: [
        { ...axis("x"), label: this.x.label || " ", values: (_, splits) => splits.map((one) => number(one)), space: 60 },
        { ...axis("y"), label: this.y.label || " ", values: (_, splits) => splits.map((one) => this.tick(one, log)), space: 26, ...(log ? this.decades() : {}) },
      ],
      series: [{}, { paths: () => null, points: { show: false } }],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      hooks: {
        draw: [(u) => this.draw(u)],
        setCursor: [(u) => this.onHover(u.cursor.left >= 0 ? u.posToVal(u.cursor.left, "x") : this.pinned)],
        setSelect: [(u) => this.select(u)],
        ready: [(u) => this.listen(u)],
      },
    };
    const [low, high] = this.extent();
    this.chart = new uPlot(options, [[this.x.min, this.x.max], [low, high]], this.host);
  }

  // Lines at powers of ten alone: those between would fill the panel.
  decades() {
    const filter = (_, splits) => splits.map((one) => (this.tick(one, true) ? one : null));
    const { looks } = this;
    return { filter: (_, splits) => splits, grid: { stroke: looks.get("--grid"), width: 1, filter }, ticks: { stroke: looks.get("--grid"), width: 1, size: 4, filter } };
  }

  // Of a log axis the powers of ten, where there are few of them with their halves too.
  tick(value, log) {
    if (value === null) return "";
    if (!log) return number(value);
    const exponent = Math.log10(value), whole = Math.round(exponent);
    const [low, high] = this.range;
    const decades = Math.log10(high / low), every = Math.max(1, Math.ceil(decades / Math.max(2, this.height / 34)));
    if (Math.abs(exponent - whole) < 1e-9) return whole % every ? "" : power(whole);
    // the first of uPlot's places is the end of the scale, whatever that is
    const digit = value / 10 ** Math.floor(exponent + 1e-9), labelled = high / low < 6 ? Math.abs(digit - Math.round(digit)) < 1e-6 : high / low < 40 && [2, 5].some((one) => Math.abs(digit - one) < 1e-6);
    return labelled ? number(value) : "";
  }

  listen(u) {
    u.over.addEventListener("dblclick", () => this.unzoom());
    u.over.addEventListener("click", (event) => {
      if (this.dragged) {
        this.dragged = false;
        return;
      }
      const x = u.posToVal(event.offsetX, "x");
      this.pinned = this.pinned === null ? x : null;
      this.onPin(this.pinned);
      this.paint();
    });
  }

  select(u) {
    if (u.select.width < 6) return;
    this.dragged = true;
    this.zoom = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.paint();
  }

  unzoom() {
    this.zoom = null;
    this.paint();
  }

  set({ x, y, curves, cursor, level, bands }) {
    const anew = (x && x.label !== this.x.label) || (y && (y.label !== this.y.label || !!y.log !== this.log));
    Object.assign(this, { x: x ?? this.x, y: y ?? this.y, curves: curves ?? this.curves, level: level ?? null, bands: bands ?? [] });
    this.cursor = cursor ?? null;
    if (anew) this.make();
    else this.paint();
  }

  paint() {
    const [low, high] = this.extent();
    this.chart.setData([[this.x.min, this.x.max], [low, high]]);
  }

  // From the least to the greatest of what is shown, with some air; of a log axis within 12 decades.
  extent() {
    let low = Infinity, high = -Infinity;
    const log = this.y.log;
    for (const curve of this.curves) {
      const [a, b] = extentOf(curve, log);
      if (a < low) low = a;
      if (b > high) high = b;
    }
    if (this.level && (!log || this.level.value > 0)) {
      low = Math.min(low, this.level.value);
      high = Math.max(high, this.level.value);
    }
    if (low > high) return log ? [0.1, 1] : [0, 1];
    if (log) {
      low = Math.max(low, high * 1e-12);
      const air = (high / low) ** 0.05 * 1.05;
      return [low / air, high * air];
    }
    const air = 0.06 * (high - low) || 0.1 * Math.abs(high) || 1;
    return [low - air, high + air];
  }

  draw(u) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const at = { x: (v) => u.valToPos(v, "x", true), y: (v) => u.valToPos(v, "y", true) };
    this.strokes(ctx, at, { left: bbox.left, top: bbox.top, width: bbox.width, height: bbox.height }, ratio);
    ctx.restore();
  }

  strokes(pen, at, box, ratio) {
    for (const band of this.bands) area(pen, band, at, box);
    if (this.level) {
      pen.strokeStyle = this.looks.get("--ink");
      pen.lineWidth = ratio;
      pen.setLineDash([2 * ratio, 3 * ratio]);
      pen.beginPath();
      pen.moveTo(box.left, at.y(this.level.value));
      pen.lineTo(box.left + box.width, at.y(this.level.value));
      pen.stroke();
      pen.setLineDash([]);
    }
    for (const curve of this.curves) stroke(pen, curve, at, box, ratio, this.y.log);
    for (const [value, dash] of [[this.cursor, []], [this.pinned, [3, 3]]]) {
      if (value === null) continue;
      pen.strokeStyle = this.looks.get("--accent");
      pen.lineWidth = 1.25 * ratio;
      pen.setLineDash(dash.map((one) => one * ratio));
      pen.beginPath();
      pen.moveTo(at.x(value), box.top);
      pen.lineTo(at.x(value), box.top + box.height);
      pen.stroke();
      pen.setLineDash([]);
    }
  }
}

function extentOf(curve, log) {
  const key = `${curve.count}|${log}`;
  const held = curve.held;
  if (held && held.key === key && held.ys === curve.ys) return held.range;
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < curve.count; i++) {
    const value = curve.ys[i * curve.stride + curve.offset];
    if (!Number.isFinite(value) || Math.abs(value) > 1e30 || (log && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const range = [low, high];
  curve.held = { key, range, ys: curve.ys };
  return range;
}

// At most two points a pixel: beyond that the least and the greatest of each are drawn.
function stroke(pen, curve, at, box, ratio, log) {
  const { xs, ys, stride, offset, count } = curve;
  if (!count) return;
  pen.strokeStyle = curve.color;
  pen.fillStyle = curve.color;
  pen.lineWidth = (curve.width ?? 1.75) * ratio;
  pen.globalAlpha = curve.alpha ?? 1;
  pen.lineJoin = "round";
  pen.setLineDash((curve.dash ?? []).map((one) => one * ratio));
  const value = (i) => ys[i * stride + offset];
  const good = (v) => Number.isFinite(v) && (!log || v > 0);
  if (curve.line !== false) {
    pen.beginPath();
    let open = false;
    const dense = count > 2 * box.width;
    let column = null, low = 0, high = 0, first = 0, end = 0;
    const flush = () => {
      if (column === null) return;
      for (const v of first <= end ? [low, high, end] : [high, low, end]) (open ? pen.lineTo(column, at.y(v)) : pen.moveTo(column, at.y(v)), (open = true));
      column = null;
    };
    for (let i = 0; i < count; i++) {
      const v = value(i);
      if (!good(v)) {
        flush();
        open = false;
        continue;
      }
      const x = at.x(xs[i]);
      if (!dense) {
        if (open) pen.lineTo(x, at.y(v));
        else pen.moveTo(x, at.y(v));
        open = true;
        continue;
      }
      const here = Math.round(x);
      if (column !== here) {
        flush();
        column = here;
        low = high = first = v;
      }
      if (v < low) low = v;
      if (v > high) high = v;
      end = v;
    }
    flush();
    pen.stroke();
  }
  pen.setLineDash([]);
  if (curve.mark) marks(pen, curve, at, ratio, value, good);
  pen.globalAlpha = 1;
}

// Marks say the same as colors do: one about every 56 pixels, the last always.
function marks(pen, curve, at, ratio, value, good) {
  const shape = MARKS[curve.mark], size = (curve.size ?? 3.4) * ratio;
  const gap = (curve.line === false ? 7 : 60) * ratio;
  // curves that lie on one another have their marks beside one another
  const shift = (curve.place ?? 0) * 10 * ratio;
  let before = null;
  for (let i = 0; i < curve.count; i++) {
    const v = value(i);
    if (!good(v)) continue;
    const x = at.x(curve.xs[i]);
    const here = Math.floor((x - shift) / gap), met = before !== null && here !== before;
    before = here;
    if (!met && i < curve.count - 1 && curve.line !== false) continue;
    pen.beginPath();
    shape(pen, x, at.y(v), size);
    pen.fill();
  }
}

function area(pen, band, at, box) {
  pen.fillStyle = band.color;
  pen.globalAlpha = 0.16;
  pen.beginPath();
  let begun = false;
  for (let i = 0; i < band.count; i++) {
    const y = band.high(i);
    if (!Number.isFinite(y)) continue;
    if (begun) pen.lineTo(at.x(band.xs[i]), at.y(y));
    else pen.moveTo(at.x(band.xs[i]), at.y(y));
    begun = true;
  }
  for (let i = band.count - 1; i >= 0; i--) {
    const y = band.low(i);
    if (Number.isFinite(y)) pen.lineTo(at.x(band.xs[i]), Math.min(at.y(y), box.top + box.height));
  }
  pen.closePath();
  pen.fill();
  pen.globalAlpha = 1;
}
