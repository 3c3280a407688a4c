// A lesson: text with formulas, an experiment, what to predict, what to see.
import { button, fill, h } from "../dom.js";
import { prose } from "../prose.js";

export class Lesson {
  constructor(lab) {
    this.lab = lab;
    this.face = h("article", { class: "lesson", "aria-live": "off" });
    this.at = 0;
    lab.store.on("opened", (said) => said.lesson && this.show(said.lesson));
    lab.store.on("status", (branch) => branch === lab.store.branch && this.reached(branch));
  }

  leave() {}

  show(lesson) {
    const other = this.lesson?.name !== lesson.name || this.at !== (lesson.step ?? 0);
    this.lesson = lesson;
    this.at = lesson.step ?? 0;
    if (other) this.seen = false;
    this.lab.element.classList.add("teaching");
    this.draw();
    if (other) this.lab.tab("lesson");
  }

  draw() {
    const { lesson, at } = this, step = lesson.steps[at];
    if (!step) return;
    const formula = (tex, display) => this.lab.formula(tex, display);
    const see = h("div", { class: "see", hidden: !this.seen }, h("h4", {}, "What to see"), prose(step.see ?? "", formula));
    fill(this.face,
      h("p", { class: "dim" }, `${lesson.title} · ${at + 1} of ${lesson.steps.length}`),
      h("h3", {}, step.title), prose(step.text ?? "", formula),
      h("div", { class: "row" },
        step.predict ? button("Predict first", () => this.predict(step.predict), { class: "main" }) : null,
        button(this.lab.store.branch?.playing ? "Pause" : "Run it", () => this.lab.timeline.toggle(), { class: step.predict ? "" : "main" }),
        step.see ? button(this.seen ? "Hide what to see" : "What to see", () => ((this.seen = !this.seen), this.draw())) : null),
      see,
      h("nav", { class: "row ends", "aria-label": "Steps of the lesson" }, button("Back", () => this.go(at - 1), { disabled: at === 0 }),
        h("span", { class: "dots", "aria-hidden": "true" }, lesson.steps.map((_, i) => h("i", { class: i === at ? "on" : "" }))),
        button("Next", () => this.go(at + 1), { class: at + 1 < lesson.steps.length && this.seen ? "main" : "", disabled: at + 1 >= lesson.steps.length })));
  }

  predict({ quantity }) {
    const { panels } = this.lab;
    const panel = panels.panels.find((one) => one.spec.quantity === quantity) ?? panels.open("curves", { quantity });
    panel?.element.scrollIntoView({ block: "center" });
    panel?.view.drawing.begin();
  }

  reached(branch) {
    if (!this.lesson || this.seen || !["finished", "diverged"].includes(branch.status)) return;
    this.seen = true;
    if (!this.lab.laid.size) this.lab.unveil(branch);
    this.draw();
  }

  async go(step) {
    this.seen = false;
    const answer = await this.lab.store.ask("lesson", { name: this.lesson.name, step });
    if (answer?.is !== "opened") {
      this.at = step;
      this.draw();
    }
    this.face.scrollTop = 0;
  }
}
