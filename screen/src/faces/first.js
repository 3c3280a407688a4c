// The first screen: pick an exhibit by its picture, or a lesson; press play.
import { button, fill, h, icon } from "../dom.js";

export class First {
  constructor(lab) {
    this.lab = lab;
    this.search = h("input", { type: "search", placeholder: "Find an exhibit", "aria-label": "Find an exhibit", on: { input: () => this.filter() } });
    this.lessons = h("div", { class: "lessons" });
    this.cards = h("div", { class: "cards" });
    this.count = h("p", { class: "dim", role: "status" });
    this.element = h("div", { class: "first" },
      h("header", { class: "masthead" }, h("h1", {}, "See it learn"), h("p", {}, "Pick an experiment and press play. Stop it anywhere, go back, change anything, and lay theory over what you see."),
        h("div", { class: "row" }, this.search, button("Write an experiment", () => lab.editor(""), {}))),
      this.lessons, h("section", { "aria-label": "Exhibits" }, h("h2", {}, "Exhibits"), this.count, this.cards));
    lab.store.on("welcome", (said) => this.fill(said));
  }

  fill({ exhibits = [], lessons = [] }) {
    fill(this.lessons, lessons.length ? [h("h2", {}, "Lessons"), h("ul", { class: "shelf" }, lessons.map((one, i) =>
      h("li", {}, h("button", { type: "button", class: "card lesson-card", on: { click: () => this.open("lesson", { name: one.name, step: 0 }) } }, h("span", { class: "place" }, String(i + 1)), h("strong", {}, one.title ?? one.name), h("span", { class: "dim" }, one.about ?? "")))))] : null);
    this.all = exhibits.map((one) => {
      const picture = one.picture ? h("img", { alt: "", loading: "lazy", src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(one.picture)}` }) : h("span", { class: "blank", "aria-hidden": "true" }, one.name);
      const card = h("button", { type: "button", class: "card", "data-name": one.name, on: { click: () => this.open("open", { subject: one.name, changes: {}, small: true }) } },
        h("span", { class: "picture" }, picture), h("strong", {}, one.claim), h("span", { class: "source" }, one.source), h("span", { class: "dim foot" }, one.name, one.seconds ? h("span", {}, ` · about ${one.seconds < 1 ? "1" : Math.round(one.seconds)} s`) : null));
      card.words = `${one.name} ${one.claim} ${one.source}`.toLowerCase();
      return card;
    });
    fill(this.cards, this.all);
    this.filter();
  }

  filter() {
    const wanted = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const card of this.all ?? []) {
      card.hidden = !wanted.every((one) => card.words.includes(one));
      shown += !card.hidden;
    }
    this.count.textContent = wanted.length ? `${shown} of ${this.all.length}` : `${shown}, each with a claim that can be checked`;
  }

  // An exhibit as its twin, which takes seconds; its knobs lead to the full form.
  async open(what, asked) {
    this.lab.busy("opening…");
    try {
      await this.lab.store.send(what, asked);
    } catch (error) {
      this.lab.refused(error.message);
    } finally {
      this.lab.busy("");
    }
  }
}
