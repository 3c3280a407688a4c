// Branches: the tree of forks; any two side by side, and how far apart they are layer by layer.
import { button, fill, h, number } from "../dom.js";
import { DASHES, SHAPES } from "../looks.js";
import { Plot } from "../panels/plot.js";
import { swatch } from "../panels/swatch.js";

export class Branches {
  constructor(lab) {
    this.lab = lab;
    this.list = h("ul", { class: "tree", role: "list" });
    this.apart = h("div", { class: "apart" });
    this.face = h("div", {}, this.list, this.apart);
    const { store } = lab;
    for (const name of ["branches", "selected", "opened", "beside"]) store.on(name, () => this.draw());
    store.on("distance", () => this.distance());
    lab.looks.onChange(() => store.distance && this.distance());
  }

  leave() {
    this.plot?.destroy();
  }

  get all() {
    const { store } = this.lab;
    return store.tree.length ? store.tree : [...store.branches.values()].map((one) => ({ branch: one.id, parent: one.parent, at: one.at, title: one.said.title ?? one.said.name, status: one.status, events: (one.said.events ?? []).map((e) => e.words) }));
  }

  draw() {
    const { store } = this.lab, all = this.all, rows = [];
    const below = (parent, depth) => {
      for (const one of all.filter((b) => (b.parent ?? null) === parent)) {
        rows.push(this.row(one, depth));
        below(one.branch, depth + 1);
      }
    };
    below(null, 0);
    const orphans = all.filter((b) => b.parent && !all.some((a) => a.branch === b.parent));
    for (const one of orphans) rows.push(this.row(one, 0));
    fill(this.list, rows);
    if (store.beside.length < 2) {
      this.plot?.destroy();
      this.plot = null;
      fill(this.apart, all.length > 1 ? h("p", { class: "dim" }, "Tick two to lay them side by side.") : h("p", { class: "dim" }, "A change on the way makes a branch: turn a knob, or click a weight."));
    }
  }

  row(one, depth) {
    const { store } = this.lab, here = one.branch === store.selected;
    const box = h("input", { type: "checkbox", "aria-label": `Beside: ${one.title ?? one.branch}`, on: { change: (e) => this.tick(one.branch, e.target.checked) } });
    box.checked = store.beside.includes(one.branch);
    const last = one.events?.[one.events.length - 1];
    const title = last ?? one.title ?? one.branch;
    return h("li", { style: { paddingLeft: `${Math.min(depth, 6) * 14}px` }, class: here ? "here" : "" }, box,
      h("button", { type: "button", class: "branch", "aria-current": here ? "true" : null, on: { click: () => store.choose(one.branch) } },
        h("span", { class: "words" }, title), h("span", { class: "at" }, one.parent ? `from ${number(one.at)}` : "from the start", one.status ? ` · ${one.status}` : "")),
      here && one.parent ? button("Undo this change", () => this.undo(one), { class: "bare small" }, "↶") : null);
  }

  async undo(one) {
    await this.lab.store.ask("undo", { branch: one.branch });
    this.lab.announce("Undone: the parent is shown.");
  }

  tick(branch, on) {
    const { store } = this.lab;
    store.beside = on ? [...store.beside.filter((one) => one !== branch), branch].slice(-2) : store.beside.filter((one) => one !== branch);
    store.tell("beside");
    if (store.beside.length === 2) store.ask("beside", { branches: store.beside });
  }

  distance() {
    const { distance: said } = this.lab.store;
    if (this.lab.store.beside.length < 2) return;
    if (!this.plot) {
      const host = h("div", { class: "plot small" });
      this.words = h("ul", { class: "judged" });
      fill(this.apart, h("h4", {}, "How far apart, layer by layer"), host, this.words);
      this.plot = new Plot(host, { looks: this.lab.looks, height: 150 });
    }
    const courses = coursesOf(said);
    const xs = said.buffers[said.x ?? 0];
    const curves = courses.map(([name, ys, stride, offset], i) => ({ xs, ys, stride, offset, count: xs.length, color: this.lab.looks.color(i), dash: i ? DASHES[(i - 1) % DASHES.length] : [], mark: SHAPES[i % SHAPES.length], place: i, width: 1.6, name }));
    this.plot.set({ x: { label: said.axis ?? "position", min: xs[0] ?? 0, max: xs[xs.length - 1] ?? 1 }, y: { label: said.y_label ?? "distance of the weights", log: true }, curves });
    fill(this.words, courses.map(([name, ys, stride, offset], i) => h("li", {}, swatch(this.lab.looks.color(i), i ? DASHES[(i - 1) % DASHES.length] : [], SHAPES[i % SHAPES.length]), h("span", { class: "name" }, name), h("span", { class: "tol" }, number(ys[(xs.length - 1) * stride + offset])))));
  }
}

// A course for each layer, from one buffer each or one for all.
function coursesOf(said) {
  const layers = said.layers ?? [];
  if (Array.isArray(said.distances)) return said.distances.map((at, i) => [layers[i] ?? String(i), said.buffers[at], 1, 0]);
  const all = said.buffers[said.weight_distance ?? said.values ?? 1];
  return layers.map((name, i) => [name, all, layers.length, i]);
}
