// One quantity over time: what was measured as lines with marks, what is predicted dashed and drawn
// ahead, ancestors faint behind, a residual as a band.
import { button, fill, h, number } from "../dom.js";
import { DASHES, SHAPES } from "../looks.js";
import { movingMost } from "../model/series.js";
import { Plot } from "./plot.js";
import { swatch } from "./swatch.js";
import { Drawing } from "./drawing.js";

const CURVES = 6;

export function entryName(quantity, entry) {
  const axes = quantity?.axes ?? [];
  const names = [];
  for (let i = axes.length - 1; i >= 0; i--) {
    const { size, labels } = axes[i], at = entry % size;
    names.unshift(labels?.[at] !== undefined ? String(labels[at]) : `${axes[i].name.split(".").pop()} ${at}`);
    entry = Math.floor(entry / size);
  }
  return names.join(", ");
}

// The entry that a column holds, where not all were sent.
const named = (quantity, held, column) => entryName(quantity, held?.entries?.[column] ?? column);

export function timesOf(branch, series) {
  const held = series.xs;
  if (held && held.marks === series.marks && held.count === series.count) return held.times;
  const times = held && held.times.length >= series.count ? held.times : new Float64Array(Math.max(256, 2 * series.count));
  for (let i = 0; i < series.count; i++) times[i] = branch.times[series.marks[i]] ?? NaN;
  series.xs = { marks: series.marks, count: series.count, times };
  return times;
}

export class Curves {
  constructor(panel) {
    this.panel = panel;
    this.lab = panel.lab;
    this.hover = null;
    this.legend = h("div", { class: "legend", role: "group", "aria-label": "Curves and their values", tabindex: "0" });
    this.plotted = h("div", { class: "plot" });
    fill(panel.body, this.legend, this.plotted);
    this.plot = new Plot(this.plotted, {
      looks: this.lab.looks,
      height: Math.max(120, this.plotted.clientHeight || 170),
      onHover: (x) => {
        this.hover = x;
        this.readings();
      },
      onPin: (x) => {
        this.hover = x;
        if (x !== null) this.lab.announce(this.said());
      },
    });
    this.drawing = new Drawing(this);
  }

  destroy() {
    this.plot.destroy();
  }

  get quantity() {
    return this.lab.store.branch?.quantities.get(this.panel.spec.quantity);
  }

  get log() {
    return this.panel.spec.log ?? this.quantity?.log ?? false;
  }

  entries(series, width) {
    if (this.panel.spec.entries) return this.panel.spec.entries;
    if (series) {
      // those that move most are looked for anew as there is more to see, not at every block
      const stage = Math.floor(Math.log2(series.count + 1));
      if (this.chosen?.stage !== stage || this.chosen.width !== series.width) this.chosen = { stage, width: series.width, of: movingMost(series, CURVES) };
      return this.chosen.of;
    }
    return Array.from({ length: Math.min(width ?? 0, CURVES) }, (_, i) => i);
  }

  update() {
    const { store, looks } = this.lab, branch = store.branch, name = this.panel.spec.quantity;
    if (!branch) return;
    const series = branch.series.get(name), quantity = this.quantity;
    const laid = [...branch.lines.values()].filter((one) => one.quantity === name && this.lab.laid.has(one.theory));
    const entries = this.entries(series, laid[0]?.width);
    const curves = [];
    const hidden = this.drawing.hides;
    for (const [ghost, words] of this.ghosts(branch)) {
      const other = ghost.series.get(name);
      if (!other || hidden) continue;
      const beside = words === "beside";
      entries.forEach((entry, place) => {
        if (entry >= other.width) return;
        curves.push({ ...rows(ghost, other, entry), color: looks.color(place), alpha: beside ? 0.9 : 0.38, width: beside ? 1.5 : 1.25, dash: beside ? [1.5, 2.5] : [], ghost: true });
      });
    }
    laid.forEach((one, t) => {
      entries.forEach((entry, place) => {
        if (entry >= one.width) return;
        const outside = this.lab.outside(branch, one.theory);
        curves.push({
          xs: this.lineTimes(branch, one), ys: one.values, stride: one.width, offset: entry, count: Math.min(one.values.length / one.width, one.at?.length ?? branch.marks),
          color: outside ? looks.get("--quiet") : looks.color(place), dash: DASHES[t % DASHES.length], width: 1.6, theory: one.theory, place, entry,
        });
      });
    });
    if (series && !hidden)
      entries.forEach((entry, place) => {
        if (entry < series.width)
          curves.push({ ...rows(branch, series, entry), color: looks.color(place), mark: SHAPES[place % SHAPES.length], place, entry, width: 1.9, measured: true, name: series.width > 1 ? named(quantity, series, entry) : "measured" });
      });
    for (const one of curves) if (one.theory) one.name = `${one.theory}${series?.width > 1 || one.stride > 1 ? `: ${named(quantity, series, one.entry)}` : ""}`;
    const drawn = this.drawing.curve();
    if (drawn) curves.push(drawn);
    const ends = branch.marks ? [branch.times[0], branch.times[branch.marks - 1]] : [0, 1];
    this.plot.set({
      x: { label: "time t", min: ends[0], max: ends[1] },
      y: { label: labelOf(quantity, name), log: this.log },
      curves,
      bands: hidden ? [] : this.residuals(branch, series, entries),
      cursor: branch.cursor === null ? null : branch.timeOf(branch.cursor),
    });
    this.chips(curves, laid, series, entries, branch);
    this.readings();
    this.drawing.place();
  }

  // Ancestors from the oldest on, and what is laid beside.
  ghosts(branch) {
    const { store } = this.lab, found = [];
    for (let id = branch.parent; id && store.branches.has(id); id = store.branches.get(id).parent) found.unshift([store.branches.get(id), "parent"]);
    for (const id of store.beside) if (id !== branch.id && store.branches.has(id)) found.push([store.branches.get(id), "beside"]);
    return found;
  }

  lineTimes(branch, one) {
    if (!one.at) return branch.times;
    one.times ??= Float64Array.from(one.at, (mark) => branch.times[mark]);
    return one.times;
  }

  residuals(branch, series, entries) {
    if (!series) return [];
    const name = this.panel.spec.quantity;
    const owned = [...branch.quantities.values()].find((one) => one.of === name && branch.series.get(one.name)?.width === series.width);
    if (!owned) return [];
    const around = branch.series.get(owned.name), xs = timesOf(branch, series);
    const at = Int32Array.from({ length: series.count }, (_, i) => around.rowAt(series.marks[i]));
    return entries.map((entry, place) => ({
      xs, count: series.count, color: this.lab.looks.color(place),
      low: (i) => series.values[i * series.width + entry] - Math.abs(around.values[at[i] * around.width + entry]),
      high: (i) => series.values[i * series.width + entry] + Math.abs(around.values[at[i] * around.width + entry]),
    }));
  }

  // What the curves are called; made anew only when that changes, so that nothing jumps.
  chips(curves, laid, series, entries, branch) {
    const many = (series?.width ?? laid[0]?.width ?? 1) > 1;
    const key = JSON.stringify([entries, laid.map((one) => one.theory), many, this.lab.looks.dark, branch.id, this.drawing.state]);
    if (key === this.key) return;
    this.key = key;
    const { looks } = this.lab;
    const chips = entries.map((entry, place) => {
      const value = h("span", { class: "value" });
      value.of = { entry, measured: true };
      return h("span", { class: "chip" }, swatch(looks.color(place), [], SHAPES[place % SHAPES.length]), h("span", { class: "name" }, many ? named(this.quantity, series ?? laid[0], entry) : "measured"), value);
    });
    const said = laid.map((one, t) => {
      const value = h("span", { class: "value" });
      value.of = { entry: entries[0], theory: one.theory };
      return h("span", { class: "chip said" }, swatch(many ? looks.get("--ink") : looks.color(0), DASHES[t % DASHES.length]), h("span", { class: "name" }, this.lab.titleOf(branch, one.theory)), many ? null : value);
    });
    fill(this.legend, this.drawing.words(), many ? [said, chips] : [chips, said]);
  }

  readings() {
    const branch = this.lab.store.branch;
    if (!branch) return;
    const x = this.hover ?? (branch.cursor === null ? null : branch.timeOf(branch.cursor));
    for (const value of this.legend.querySelectorAll(".value")) {
      const curve = this.plot.curves.find((one) => !one.ghost && one.entry === value.of.entry && (value.of.measured ? one.measured : one.theory === value.of.theory));
      const text = curve ? number(valueAt(curve, x), 4) : "";
      if (value.textContent !== text) value.textContent = text;
    }
    this.panel.at.textContent = x === null ? "" : `t = ${number(x, 5)}`;
  }

  said() {
    const parts = [...this.legend.querySelectorAll(".chip")].map((chip) => chip.textContent);
    return `${this.panel.title}, ${this.panel.at.textContent}: ${parts.join("; ")}`;
  }

  menu() {
    const series = this.lab.store.branch?.series.get(this.panel.spec.quantity);
    return [
      { words: this.log ? "Linear axis" : "Log axis", act: () => this.panel.respec({ log: !this.log }) },
      ...(this.plot.zoom ? [{ words: "Whole run (undo zoom)", act: () => this.plot.unzoom() }] : []),
      ...(this.lab.store.kind === "report" ? [] : [{ words: "Predict: draw the curve first", act: () => this.drawing.begin() }]),
      ...(series && series.width > CURVES ? [{ words: "Which entries…", act: () => this.choose(series) }] : []),
    ];
  }

  choose(series) {
    const now = new Set(this.entries(series));
    const most = Math.min(series.width, 64);
    this.lab.dialog("Which entries", (close) => [
      h("p", { class: "dim" }, series.width > most ? `The first ${most} of ${series.width}.` : "At most eight are legible at once."),
      h("div", { class: "checks" }, Array.from({ length: most }, (_, entry) => h("label", {}, h("input", { type: "checkbox", checked: now.has(entry), on: { change: (e) => (e.target.checked ? now.add(entry) : now.delete(entry)) } }), named(this.quantity, series, entry)))),
      h("div", { class: "row" },
        button("Those that move most", () => (this.panel.respec({ entries: null }), close())),
        button("Show these", () => (this.panel.respec({ entries: [...now].sort((a, b) => a - b).slice(0, 8) }), close()), { class: "main" })),
    ]);
  }

  csv() {
    const branch = this.lab.store.branch, series = branch?.series.get(this.panel.spec.quantity);
    if (!series) return "";
    const names = Array.from({ length: series.width }, (_, entry) => quoted(series.width > 1 ? named(this.quantity, series, entry) : this.panel.spec.quantity));
    const rowsOf = [[branch.steps ? "step" : "mark", "time", ...names].join(",")];
    for (let i = 0; i < series.count; i++) {
      const mark = series.marks[i];
      rowsOf.push([branch.positionOf(mark), branch.times[mark], ...series.values.subarray(i * series.width, (i + 1) * series.width)].join(","));
    }
    return rowsOf.join("\n") + "\n";
  }
}

export const quoted = (text) => (/^[=+\-@]/.test(text) ? `"'${text.replaceAll('"', '""')}"` : /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function labelOf(quantity, name) {
  const symbol = quantity?.symbol ?? name, units = quantity?.units;
  return units && units !== "1" ? `${symbol} [${units}]` : symbol;
}

function rows(branch, series, entry) {
  return { xs: timesOf(branch, series), ys: series.values, stride: series.width, offset: entry, count: series.count };
}

// The value at or before x, of the last mark where there is no x.
function valueAt(curve, x) {
  if (!curve.count) return NaN;
  let low = 0, high = curve.count;
  if (x === null) low = curve.count;
  else
    while (low < high) {
      const middle = (low + high) >> 1;
      if (curve.xs[middle] <= x) low = middle + 1;
      else high = middle;
    }
  let row = Math.max(0, low - 1);
  if (x !== null && row + 1 < curve.count && Math.abs(curve.xs[row + 1] - x) < Math.abs(curve.xs[row] - x)) row++;
  return curve.ys[row * curve.stride + curve.offset];
}
