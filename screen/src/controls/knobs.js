// Every knob of every part as a dial of its own kind, by what the catalogue says of it.
import { button, fill, fresh, h, number } from "../dom.js";

const TURNS = 1000;

export class Knobs {
  constructor(lab) {
    this.lab = lab;
    this.element = h("div", { class: "knobs" });
    this.opened = new Set();
    lab.store.on("selected", () => this.build());
    lab.store.on("opened", () => this.build());
  }

  build() {
    const branch = this.lab.store.branch;
    const knobs = branch?.said.knobs ?? [];
    const key = JSON.stringify([branch?.id, knobs]);
    if (key === this.key) return;
    this.key = key;
    const focused = this.lab.root.activeElement?.dataset?.path;
    const groups = new Map();
    for (const knob of knobs) {
      const part = knob.part ?? knob.path.split(".")[0];
      if (!groups.has(part)) groups.set(part, []);
      groups.get(part).push(knob);
    }
    if (!this.opened.size) for (const part of [...groups.keys()].filter((one) => /^(rule|initial|architecture)/.test(one))) this.opened.add(part);
    fill(this.element, [...groups].map(([part, of]) => {
      const group = h("details", { open: this.opened.has(part), on: { toggle: (e) => (e.target.open ? this.opened.add(part) : this.opened.delete(part)) } }, h("summary", {}, part));
      for (const knob of of) group.append(this.dial(knob));
      return group;
    }));
    if (!knobs.length) fill(this.element, h("p", { class: "dim" }, "Nothing to turn here."));
    if (focused) this.element.querySelector(`[data-path="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  dial(knob) {
    const id = fresh("knob"), name = knob.path === knob.part ? "kind" : knob.path.split(".").slice(-1)[0].replaceAll("_", " ");
    const field = { number: ranged, whole: ranged, choice: chosen, part: chosen, flag: flagged, text: written, list: written }[knob.kind] ?? written;
    const anew = knob.structural ? h("span", { class: "anew", title: "Changing it compiles a new program, which takes some seconds" }, "compiles anew") : null;
    return h("div", { class: `dial ${knob.kind}` },
      h("div", { class: "line" }, h("label", { for: id, title: knob.meaning }, name), anew, knob.units ? h("span", { class: "units" }, knob.units) : null),
      field(knob, { id, "data-path": knob.path, "aria-describedby": `${id}-means` }, (value) => this.turn(knob, value)),
      h("p", { class: "means", id: `${id}-means` }, knob.meaning ?? ""));
  }

  async turn(knob, value) {
    const { store } = this.lab, branch = store.branch;
    if (value === knob.value) return;
    this.lab.turned = performance.now();
    const at = knob.structural ? 0 : branch.shown;
    this.lab.busy(knob.structural ? "compiling…" : "");
    try {
      const opened = await store.send("turn", { branch: branch.id, at, path: knob.path, value });
      this.lab.store.rest(branch);
      this.lab.announce(`${knob.path} is ${Array.isArray(value) ? value.join(", ") : value}${opened.parent ? `, from ${branch.steps ? "step" : "mark"} ${opened.at} on` : ", from the start"}`);
    } catch (error) {
      this.lab.refused(error.message);
      this.key = null;
      this.build();
    } finally {
      this.lab.busy("");
    }
  }
}

// A slider with a field beside it; of rates and scales the slider is logarithmic, four decades wide.
function ranged(knob, props, turn) {
  const whole = knob.kind === "whole", value = typeof knob.value === "number" ? knob.value : Number(knob.value);
  const log = knob.log && value > 0;
  let low = knob.low ?? (log ? value / 100 : whole ? Math.min(1, value) : Math.min(0, 2 * value));
  let high = knob.high ?? (log ? value * 100 : whole ? Math.max(8, 4 * value) : Math.max(1, 2 * value));
  if (log) {
    low = Math.max(low, value / 1e4, Number.MIN_VALUE);
    high = Math.min(high, value * 1e4);
  }
  const there = (v) => (log ? (Math.log(v / low) / Math.log(high / low)) * TURNS : ((v - low) / (high - low || 1)) * TURNS);
  const back = (t) => {
    const v = log ? low * (high / low) ** (t / TURNS) : low + ((high - low) * t) / TURNS;
    return whole ? Math.round(v) : Number(v.toPrecision(log ? 3 : 4));
  };
  const step = whole ? 1 : "any";
  const field = h("input", { type: "number", step, value: String(knob.value ?? ""), ...props });
  const slider = h("input", { type: "range", min: 0, max: TURNS, step: whole && !log ? TURNS / Math.max(1, high - low) : 1, value: String(there(value)), "aria-label": `${knob.path}, slider`, "aria-valuetext": number(value), tabindex: "0", on: {
    input: () => {
      field.value = back(slider.valueAsNumber);
      slider.setAttribute("aria-valuetext", field.value);
    },
    change: () => turn(back(slider.valueAsNumber)),
  } });
  field.addEventListener("change", () => {
    const given = field.valueAsNumber;
    if (!Number.isFinite(given)) return void (field.value = knob.value);
    slider.value = there(given);
    turn(whole ? Math.round(given) : given);
  });
  return h("div", { class: "ranged" }, slider, field);
}

function chosen(knob, props, turn) {
  const choices = (knob.choices ?? []).map(String);
  if (!choices.includes(String(knob.value))) choices.unshift(String(knob.value));
  const select = h("select", { ...props, on: { change: () => turn((knob.choices ?? []).find((one) => String(one) === select.value) ?? select.value) } }, choices.map((one) => h("option", { value: one, selected: one === String(knob.value) }, one)));
  select.value = String(knob.value);
  return select;
}

function flagged(knob, props, turn) {
  const box = h("input", { type: "checkbox", role: "switch", ...props, on: { change: () => turn(box.checked) } });
  box.checked = !!knob.value;
  return box;
}

function written(knob, props, turn) {
  const list = Array.isArray(knob.value), before = list ? knob.value.join(", ") : String(knob.value ?? "");
  const field = h("input", { type: "text", spellcheck: "false", value: before, ...props, on: {
    change: () => {
      if (field.value === before) return;
      const parts = field.value.split(",").map((one) => one.trim()).filter(Boolean);
      turn(list ? parts.map((one) => (Number.isFinite(Number(one)) ? Number(one) : one)) : field.value);
    },
  } });
  return field;
}
