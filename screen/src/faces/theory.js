// Theory: each with its conditions, value against bound; a switch lays it over; how far off it is.
import { button, fill, fresh, h, number } from "../dom.js";
import { DASHES } from "../looks.js";
import { Plot } from "../panels/plot.js";
import { swatch } from "../panels/swatch.js";

const APPLIES = { true: ["applies", "●"], false: ["outside its domain", "○"], null: ["not decided yet", "◐"] };

export class Theory {
  constructor(lab) {
    this.lab = lab;
    this.element = h("div", { class: "theories" });
    this.errors = h("div", { class: "errors" });
    this.near = h("div", { class: "near" });
    this.face = h("div", {}, this.element, this.errors, this.near);
    const { store } = lab;
    for (const name of ["selected", "opened", "lines"]) store.on(name, () => this.later());
    for (const name of ["errors", "theories"]) store.on(name, () => this.later());
    lab.looks.onChange(() => ((this.key = null), this.later()));
    this.open = new Set();
  }

  leave() {
    this.plot?.destroy();
    cancelAnimationFrame(this.frame);
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  toggle(name, on) {
    const { lab } = this;
    lab.chosen = true;
    if (on) lab.laid.add(name);
    else lab.laid.delete(name);
    const branch = lab.store.branch;
    lab.store.ask("theory", { branch: branch.id, theory: name, on });
    lab.panels.paint();
    this.key = null;
    this.later();
    lab.announce(`${lab.titleOf(branch, name)} ${on ? "laid over" : "taken off"}`);
  }

  draw() {
    const branch = this.lab.store.branch;
    if (!branch) return;
    const theories = branch.said.theories ?? [], laid = [...this.lab.laid];
    const key = JSON.stringify([branch.id, theories, laid]);
    if (key !== this.key) {
      this.key = key;
      this.list(theories, laid);
      this.nearest(branch);
    }
    this.course(branch);
  }

  // Those that say something here first; of those outside their domain none is hidden, but folded.
  list(theories, laid) {
    const rank = (one) => (laid.includes(one.name) ? -9 : 0) + (one.quantities?.length ? 0 : 2) + (one.applies === true ? 0 : one.applies === false ? 2 : 1);
    const sorted = [...theories].sort((a, b) => rank(a) - rank(b));
    const near = sorted.filter((one) => laid.includes(one.name) || one.applies !== false), far = sorted.filter((one) => !near.includes(one));
    const items = (of) => of.map((one) => this.item(one, laid.indexOf(one.name)));
    fill(this.element, items(near), far.length ? h("details", { class: "others", open: this.far ?? !near.length, on: { toggle: (e) => e.target.matches(".others") && (this.far = e.target.open) } }, h("summary", {}, `${far.length} outside their domain`), items(far)) : null,
      theories.length ? null : h("p", { class: "dim" }, "No theory was looked at."));
  }

  item(one, place) {
    const state = String(one.applies ?? null), [held, sign] = APPLIES[state];
    const can = (one.quantities ?? []).length > 0;
    const words = !can && one.applies === true ? "applies; nothing watched is predicted" : held;
    const id = fresh("theory");
    const box = can ? h("input", { type: "checkbox", role: "switch", id, on: { change: (e) => this.toggle(one.name, e.target.checked) } }) : null;
    if (box) box.checked = place >= 0;
    const details = h("details", { open: this.open.has(one.name), on: { toggle: (e) => (e.target.open ? this.open.add(one.name) : this.open.delete(one.name)) } },
      h("summary", {}, h("span", { class: `sign ${state}`, "aria-hidden": "true" }, sign), h("span", { class: `applies ${state}` }, words), one.verdict ? h("span", { class: `verdict ${one.verdict.split(" ")[0]}` }, one.verdict) : null),
      one.title && one.title !== one.name ? h("p", { class: "means" }, one.title) : null,
      (one.conditions ?? []).length ? h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "condition"), h("th", { scope: "col", class: "n" }, "value"), h("th", { scope: "col", class: "n" }, "bound"), h("th", { scope: "col" }, h("span", { class: "unseen" }, "holds")))),
        h("tbody", {}, one.conditions.map((c) => h("tr", { class: `c-${c.holds}` }, h("td", {}, c.claim), h("td", { class: "n" }, number(c.value)), h("td", { class: "n" }, number(c.bound)), h("td", {}, c.holds === null ? "?" : c.holds ? "yes" : "no"))))) : null,
      one.formula ? this.lab.formula(one.formula, true) : null,
      one.source ? h("p", { class: "source" }, one.source) : null);
    return h("div", { class: `theory ${state}` },
      h("div", { class: "line" }, box, h("label", can ? { for: id } : {}, this.lab.titleOf(this.lab.store.branch, one.name)), place >= 0 ? swatch(this.lab.looks.get("--ink"), DASHES[place % DASHES.length]) : null), details);
  }

  nearest(branch) {
    const near = branch.said.near ?? [];
    fill(this.near, near.length ? [h("h4", {}, "One simplification away"), near.map((one) => h("div", { class: "step" }, h("p", {}, one.words ?? `${one.theory}: without ${one.axes.join(", ")}`),
      ...one.axes.slice(0, 1).map((axis) => button("Run it beside", () => this.beside(branch, axis), { class: "small" }))))] : null);
  }

  async beside(branch, axis) {
    try {
      const opened = await this.lab.store.send("simplify", { branch: branch.id, axis });
      this.lab.store.beside = [branch.id, opened.branch];
      this.lab.store.tell("beside");
      this.lab.announce(`The experiment without ${axis} stands beside.`);
    } catch (error) {
      this.lab.refused(error.message);
    }
  }

  // The course of the error of all that is laid over, the tolerance as a level.
  course(branch) {
    const shown = [...branch.errors.values()].filter((one) => this.lab.laid.has(one.theory)).slice(0, 8);
    if (!shown.length) {
      this.plot?.destroy();
      this.plot = null;
      this.errors.replaceChildren();
      return;
    }
    if (!this.plot) {
      this.words = h("ul", { class: "judged" });
      const host = h("div", { class: "plot small" });
      fill(this.errors, h("h4", {}, "How far off it is"), host, this.words);
      this.plot = new Plot(host, { looks: this.lab.looks, height: 130 });
    }
    const curves = shown.map((one, i) => {
      one.times ??= one.at ? Float64Array.from(one.at, (mark) => branch.times[mark]) : branch.times;
      return { xs: one.times, ys: one.error, stride: 1, offset: 0, count: one.error.length, color: this.lab.looks.color(i), dash: i ? DASHES[(i - 1) % DASHES.length] : [], width: 1.5, name: `${one.theory}, ${one.quantity}` };
    });
    const ends = [branch.times[0], branch.times[branch.marks - 1]];
    this.plot.set({ x: { label: "time t", min: ends[0], max: ends[1] }, y: { label: "relative error", log: true }, curves, level: { value: shown[0].tolerance } });
    fill(this.words, shown.map((one, i) => h("li", {}, swatch(this.lab.looks.color(i), i ? DASHES[(i - 1) % DASHES.length] : []), h("span", { class: "name" }, one.quantity), h("span", { class: `verdict ${one.verdict}` }, one.verdict), h("span", { class: "tol" }, `tolerance ${number(one.tolerance, 2)} (dotted)`))));
  }
}
