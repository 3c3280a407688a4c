// The board: panels in a grid, added, moved and closed; each drawn at most once a frame.
import { button, fill, h, icon } from "../dom.js";
import { KINDS, Panel } from "./panel.js";

const MOST = 16;

export class Board {
  constructor(lab) {
    this.lab = lab;
    this.panels = [];
    this.element = h("div", { class: "board" });
    this.adder = button("Add a panel", (e) => this.add(e.currentTarget), { class: "adder", "aria-haspopup": "menu" }, icon("plus"), h("span", {}, "Add a panel"));
    this.element.append(this.adder);
    this.dirty = new Set();
    const { store } = lab;
    this.offs = [
      store.on("data", (branch) => this.touch(branch)), store.on("lines", (branch) => this.touch(branch)), store.on("cursor", (branch) => this.touch(branch)),
      store.on("selected", () => this.again()), store.on("branches", () => this.paint()), store.on("beside", () => this.paint()),
      store.on("moment", ({ branch, moment }) => {
        if (branch !== store.branch) return;
        const panel = this.panels.find((one) => one.id === moment.panel);
        if (panel) this.later(() => panel.moment(moment), panel.id);
      }),
      store.on("unseen", (said) => this.panels.find((one) => one.id === said.panel)?.view.refused?.(said.said)),
      store.on("scored", (said) => {
        for (const one of this.panels) if (one.spec.quantity === said.quantity) one.view.drawing?.scored(said);
      }),
    ];
    this.waiting = new Map();
  }

  leave() {
    for (const off of this.offs) off();
    cancelAnimationFrame(this.frame);
    this.clear();
  }

  // One animation frame draws all that changed since the last, each panel once.
  later(act, key) {
    this.waiting.set(key, act);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      const acts = [...this.waiting.values()];
      this.waiting.clear();
      for (const one of acts) one();
      this.lab.frames = (this.lab.frames ?? 0) + 1;
    });
  }

  touch(branch) {
    if (branch && branch !== this.lab.store.branch && !this.lab.store.beside.includes(branch.id)) return;
    this.paint();
  }

  paint() {
    for (const one of this.panels) if (one.kind === "curves") this.later(() => one.view && one.update(), one.id);
  }

  again() {
    for (const one of this.panels) {
      one.request();
      one.view.key = null;
    }
    this.paint();
  }

  open(kind, spec) {
    if (this.panels.length >= MOST) return this.lab.announce(`At most ${MOST} panels stand at once: close one.`);
    const panel = new Panel(this.lab, { kind, spec });
    this.panels.push(panel);
    this.element.insertBefore(panel.element, this.adder);
    panel.start();
    return panel;
  }

  close(panel) {
    const at = this.panels.indexOf(panel);
    this.lab.store.ask("close", { panel: panel.id });
    panel.destroy();
    this.panels.splice(at, 1);
    (this.panels[Math.min(at, this.panels.length - 1)]?.element ?? this.adder).focus();
    this.lab.announce(`${panel.title} closed`);
  }

  clear() {
    for (const one of this.panels.splice(0)) one.destroy();
  }

  shift(panel, by) {
    const at = this.panels.indexOf(panel), to = at + by;
    if (to < 0 || to >= this.panels.length) return;
    this.panels.splice(at, 1);
    this.panels.splice(to, 0, panel);
    this.order();
    panel.element.focus();
    this.lab.announce(`${panel.title}, place ${to + 1} of ${this.panels.length}`);
  }

  drop(onto, event) {
    event.preventDefault();
    if (this.moving && this.moving !== onto) this.shift(this.moving, this.panels.indexOf(onto) - this.panels.indexOf(this.moving));
    this.moving = null;
  }

  order() {
    for (const one of this.panels) this.element.insertBefore(one.element, this.adder);
  }

  // What can be added here: every quantity of the run, every array's own pictures, what the lab offers.
  add(anchor) {
    const branch = this.lab.store.branch;
    if (!branch) return;
    const quantities = [...branch.quantities.values()].filter((one) => !one.of);
    const addresses = (branch.said.addresses ?? []).filter((one) => one.role !== "signal");
    const signals = (branch.said.addresses ?? []).filter((one) => one.role === "signal");
    const items = [{ heading: "Over time" }, ...quantities.map((one) => ({ words: one.meaning || one.name, act: () => this.open("curves", { quantity: one.name }) }))];
    const kinds = branch.said.kinds ?? (this.lab.store.kind === "report" ? ["weights"] : Object.keys(KINDS).filter((one) => one !== "curves"));
    items.push({ heading: "At the cursor" });
    for (const kind of kinds) {
      const each = kind === "weights" || kind === "singular" ? addresses.filter((one) => kind === "weights" || one.shape.length === 2) : kind === "activations" ? signals : null;
      if (each?.length) for (const one of each.slice(0, 24)) items.push({ words: `${KINDS[kind]} ${one.address}`, act: () => this.open(kind, { address: one.address }) });
      else if (!each) items.push({ words: KINDS[kind] ?? kind, act: () => this.open(kind, {}) });
    }
    this.lab.menu(anchor, items, { search: true });
  }

  // What one wants to see first: what theories speak of and the loss, then the first weights.
  first() {
    const branch = this.lab.store.branch, { watch = [], panels } = branch.said;
    if (panels) return panels.forEach((one) => this.open(one.kind, one.spec ?? {}));
    const known = [...branch.quantities.values()].filter((one) => !one.of);
    const spoken = new Set((branch.said.theories ?? []).filter((one) => one.applies !== false).flatMap((one) => one.quantities ?? []));
    const size = (one) => one.axes.reduce((all, axis) => all * axis.size, 1);
    const rank = (one) => (one.name === "loss" ? 0 : spoken.has(one.name) ? 1 + Math.min(size(one), 200) / 1000 : watch.includes(one.name) ? 3 : size(one) === 1 ? 4 : 6 + size(one) / 1e6);
    const most = innerWidth < 720 ? 2 : 5;
    for (const one of known.sort((a, b) => rank(a) - rank(b)).slice(0, most)) this.open("curves", { quantity: one.name });
    const array = (branch.said.addresses ?? []).find((one) => one.role !== "signal" && one.shape.length === 2);
    if (array) this.open("weights", { address: array.address });
  }
}
