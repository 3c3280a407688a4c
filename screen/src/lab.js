// The screen as a whole: what stands where, and what faces share.
import uplotCss from "uplot/dist/uPlot.min.css";
import { button, fill, h, icon } from "./dom.js";
import { Knobs } from "./controls/knobs.js";
import { openDialog, openMenu } from "./controls/menu.js";
import { Branches } from "./faces/branches.js";
import { editor, exporting, help } from "./faces/editor.js";
import { First } from "./faces/first.js";
import { Lesson } from "./faces/lessons.js";
import { Theory } from "./faces/theory.js";
import { Timeline } from "./faces/timeline.js";
import { keyboard } from "./keyboard.js";
import { Looks } from "./looks.js";
import { Store } from "./model/store.js";
import { Board } from "./panels/board.js";
import theme from "./theme.css";

const WHERE = { knobs: "Knobs", theory: "Theory", branches: "Branches", lesson: "Lesson" };

class Lab {
  constructor({ model, el, formula, css }) {
    this.host = h("div", { class: "learnmech" });
    this.root = this.host.attachShadow({ mode: "open" });
    for (const text of [uplotCss, css, theme]) if (text) this.root.append(h("style", {}, text));
    el.append(this.host);
    this.formula = formula;
    this.store = new Store(model);
    this.kind = this.store.kind;
    this.host.dataset.kind = this.kind;
    this.looks = new Looks(this.host);
    this.laid = new Set();
    this.element = h("div", { class: `lab ${this.kind}` });
    this.live = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
    this.toast = h("div", { class: "toast", role: "alert", hidden: true });
    this.root.append(this.element, this.live, this.toast);
    this.build();
    this.offs = [
      this.store.on("refused", (words) => this.refused(words)), this.store.on("root", () => this.anew()),
      this.store.on("theories", (branch) => branch === this.store.branch && this.lay(branch, 2).length && this.over()),
      this.store.on("opened", () => this.show()), this.store.on("selected", (change) => this.changed(change)),
      this.store.on("away", (words) => (this.refused(words), this.busy("not connected"))), this.store.on("back", () => (this.busy(""), (this.toast.hidden = true))),
      this.store.on("data", (branch) => branch === this.store.branch && this.verdict()), this.store.on("errors", () => this.verdict()),
    ];
    this.keys = keyboard(this);
    this.store.ask("hello");
    this.hear();
  }

  build() {
    this.board();
    this.first = this.kind === "report" ? null : new First(this);
    this.panels = new Board(this);
    this.timeline = new Timeline(this);
    this.faces = { theory: new Theory(this), branches: new Branches(this) };
    if (this.kind !== "report") this.faces = { knobs: new Knobs(this), ...this.faces, lesson: new Lesson(this) };
    else delete this.faces.branches;
    const tabs = Object.keys(this.faces).filter((name) => name !== "knobs");
    this.tabs = new Map(tabs.map((name) => [name, button(WHERE[name], () => this.tab(name), { role: "tab", id: `tab-${name}`, "aria-controls": "side", tabindex: "-1", hidden: name === "lesson" })]));
    const row = h("div", { class: "tabs", role: "tablist", "aria-label": "Beside the panels", on: { keydown: (e) => this.tabKey(e) } }, [...this.tabs.values()]);
    this.inside = h("div", { class: "inside", id: "side", role: "tabpanel", tabindex: "0" });
    this.side = h("aside", { class: "side", "aria-label": "Theory, branches, lesson" }, this.tabs.size > 1 ? row : h("h2", { class: "alone" }, "Theory"), this.inside);
    this.left = this.faces.knobs ? h("aside", { class: "left", "aria-label": "Knobs" }, h("h2", {}, "Knobs"), this.faces.knobs.element) : null;
    this.bench = h("div", { class: "bench", hidden: true }, this.head, this.left, h("section", { class: "middle", "aria-label": "Panels", tabindex: "-1" }, this.panels.element), this.side, this.timeline.element);
    fill(this.element, this.first?.element, this.bench);
    this.tab("theory");
  }

  board() {
    this.claim = h(this.kind === "report" ? "h2" : "h1", { class: "claim" });
    this.judged = h("span", { class: "verdict chip", role: "status" });
    this.work = h("span", { class: "work", role: "status" });
    const tool = (words, act, mark) => button(words, act, { class: "bare tool" }, mark);
    this.head = h("header", { class: "head" },
      this.kind === "report" ? null : button("All exhibits", () => this.home(), { class: "bare" }, icon("back")),
      this.claim, this.judged, this.work,
      h("nav", { "aria-label": "Tools" },
        this.kind === "report" ? null : button("Text", () => this.editor(), { class: "bare", title: "The experiment as text (e)" }),
        button("Export", (e) => exporting(this, e.currentTarget), { class: "bare", "aria-haspopup": "menu", title: "Export (x)" }),
        tool("Keys (?)", () => help(this), icon("help"))));
  }

  // A link that holds an experiment fills the editor; it never runs by itself.
  hear() {
    if (this.kind !== "lab") return;
    const read = async () => {
      const held = /[#&]text=([A-Za-z0-9_%+/=-]+)/.exec(location.hash);
      if (!held) return;
      try {
        const bytes = Uint8Array.from(atob(decodeURIComponent(held[1]).replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
        this.editor(await unpacked(bytes), "From a link: look at it before you open it. Nothing runs until you press play.");
      } catch {
        this.refused("The link holds no experiment that can be read.");
      }
    };
    addEventListener("hashchange", read);
    this.unhear = () => removeEventListener("hashchange", read);
    read();
  }

  show() {
    const { branch } = this.store;
    if (!branch) return;
    if (this.first) this.first.element.hidden = true;
    const begun = !this.bench.hidden;
    this.bench.hidden = false;
    this.claim.textContent = this.kind === "report" ? "The run, to be scrubbed, zoomed and held against theory" : branch.said.claim || branch.said.name;
    this.claim.title = this.claim.textContent;
    if (begun && this.panels.panels.length) return;
    const { lesson } = branch.said;
    // what is to be predicted is not given away by theory's line
    if (lesson?.steps[lesson.step]?.predict) this.chosen = true;
    else this.unveil(branch);
    this.panels.first();
    if (branch.said.thinned?.length) this.panels.element.after(h("p", { class: "dim thinned" }, `Thinned for this page: ${branch.said.thinned.join("; ")}.`));
    if (this.kind === "lab") this.timeline.playing.focus({ preventScroll: true });
  }

  anew() {
    this.panels.clear();
    this.laid.clear();
    this.chosen = false;
    this.store.beside = [];
    this.element.classList.remove("teaching");
    if (this.tabs.has("lesson")) {
      this.faces.lesson.lesson = null;
      this.tabs.get("lesson").hidden = true;
      this.tab("theory");
    }
  }

  home() {
    this.bench.hidden = true;
    this.first.element.hidden = false;
    this.first.search.focus({ preventScroll: true });
  }

  changed() {
    if (!this.panels.panels.length) return;
    this.over();
    this.verdict();
  }

  unveil(branch) {
    this.chosen = false;
    for (const one of branch.said.laid ?? []) this.laid.add(one);
    this.lay(branch, 4);
    this.over();
  }

  // Of an experiment that brings no theories those that apply and speak of what is watched.
  lay(branch, most) {
    if (this.laid.size || this.chosen) return [];
    const found = (branch.said.theories ?? []).filter((one) => (one.applies === true || one.verdict) && one.quantities?.length).slice(0, most);
    for (const one of found) this.laid.add(one.name);
    return found;
  }

  // What is laid over, asked for the branch that is shown.
  over() {
    const { branch } = this.store;
    const ask = () => {
      if (this.store.branch !== branch) return;
      // a branch may be outside what a theory can speak of; its list says why
      for (const name of this.laid) this.store.send("theory", { branch: branch.id, theory: name, on: true }).catch(() => {});
    };
    // a prediction takes as long as ten looks: of a dial that is turned on, what was turned past is
    // not predicted, and what is measured comes first
    clearTimeout(this.later);
    if (this.kind === "report") ask();
    else this.later = setTimeout(ask, 200);
  }

  verdict() {
    const { branch } = this.store;
    const found = [...branch.errors.values()].filter((one) => this.laid.has(one.theory));
    const outside = (branch.said.theories ?? []).some((one) => this.laid.has(one.name) && one.applies === false);
    const word = outside ? "outside domain" : found.some((one) => one.verdict === "beyond") ? "beyond tolerance" : found.length && found.every((one) => one.verdict === "within") ? "within tolerance" : "";
    if (this.judged.textContent === word) return;
    this.judged.textContent = word;
    this.judged.className = `verdict chip ${word.split(" ")[0]}`;
  }

  outside(branch, theory) {
    return (branch.said.theories ?? []).find((one) => one.name === theory)?.applies === false;
  }

  titleOf(branch, theory) {
    const words = theory.replaceAll("-", " ");
    return words[0].toUpperCase() + words.slice(1);
  }

  tab(name) {
    if (!this.faces[name]) return;
    if (name === "knobs") return void this.left.querySelector("input, select, summary")?.focus();
    this.shown = name;
    this.tabs.get(name).hidden = false;
    for (const [other, tab] of this.tabs) {
      tab.setAttribute("aria-selected", String(other === name));
      tab.tabIndex = other === name ? 0 : -1;
    }
    fill(this.inside, this.faces[name].face);
    this.inside.setAttribute("aria-labelledby", `tab-${name}`);
  }

  tabKey(event) {
    const names = [...this.tabs.keys()].filter((name) => !this.tabs.get(name).hidden), by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const to = names[(names.indexOf(this.shown) + by + names.length) % names.length];
    this.tab(to);
    this.tabs.get(to).focus();
    event.stopPropagation();
    event.preventDefault();
  }

  editor(text = this.store.branch?.said.text ?? "", note = "") {
    editor(this, text, note);
  }

  menu(anchor, items, options) {
    openMenu(this, anchor, items, options);
  }

  dialog(title, inside, wide) {
    return openDialog(this, title, inside, wide);
  }

  announce(words) {
    this.live.textContent = words;
  }

  refused(words) {
    this.toast.textContent = words;
    this.toast.hidden = false;
    clearTimeout(this.fading);
    this.fading = setTimeout(() => (this.toast.hidden = true), 9000);
  }

  busy(words) {
    this.work.textContent = words;
    this.element.setAttribute("aria-busy", String(!!words));
  }

  leave() {
    for (const off of this.offs) off();
    this.keys();
    this.unhear?.();
    clearTimeout(this.later);
    this.closeMenu?.();
    for (const one of Object.values(this.faces)) one.leave?.();
    this.timeline.leave();
    this.panels.leave();
    this.looks.leave();
    this.store.leave();
    this.host.remove();
  }
}

// A text as a link holds it, of at most so many bytes however small it was packed.
async function unpacked(bytes, most = 200_000) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts = [];
  for (let size = 0, part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.length;
    if (size > most) throw new Error("too long");
    parts.push(part.value);
  }
  return new Blob(parts).text();
}

export function start(given) {
  const lab = new Lab(given);
  // what tests and the console may look at
  lab.host.lab = lab;
  return () => lab.leave();
}
