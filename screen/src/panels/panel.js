// A panel: a frame with a title, what it reads at the cursor, a menu; moved by its title or by keys.
import { button, fill, fresh, h, icon, save } from "../dom.js";
import { Curves } from "./curves.js";
import { Moment } from "./moment.js";
import { plotSvg } from "./svg.js";

export class Panel {
  constructor(lab, { kind, spec, id }) {
    Object.assign(this, { lab, kind, spec: { ...spec }, id: id ?? fresh("panel") });
    const heading = fresh("heading");
    this.named = h("h3", { id: heading });
    this.at = h("span", { class: "at" });
    this.body = h("div", { class: "body" });
    this.element = h("section", { class: `panel ${kind}`, "aria-labelledby": heading, "data-kind": kind, tabindex: "-1", on: { keydown: (e) => this.key(e) } },
      h("header", { draggable: "true", on: { dragstart: (e) => this.drag(e), dragend: () => this.element.classList.remove("moving") } },
        this.named, this.at,
        button("Panel menu", (e) => this.menu(e), { class: "bare", "aria-haspopup": "menu" }, icon("more")),
        button("Close panel", () => lab.panels.close(this), { class: "bare" }, icon("close"))),
      this.body);
    this.element.addEventListener("dragover", (e) => lab.panels.moving && e.preventDefault());
    this.element.addEventListener("drop", (e) => lab.panels.drop(this, e));
    this.retitle();
  }

  retitle() {
    const quantity = this.lab.store.branch?.quantities.get(this.spec.quantity);
    const array = this.lab.store.kind === "report" && this.lab.store.branch?.quantities.get(this.spec.address);
    this.title = array ? sentence(array.meaning || array.name) : this.kind === "curves" ? sentence(quantity?.meaning || this.spec.quantity) : `${KINDS[this.kind] ?? this.kind}${this.spec.address ? ` ${this.spec.address}` : ""}`;
    this.named.textContent = this.title;
    this.named.title = this.title;
  }

  // Once it stands in the page: canvases need to know how wide they are.
  start() {
    this.view = this.kind === "curves" ? new Curves(this) : new Moment(this);
    this.request();
  }

  request() {
    const { store } = this.lab;
    if (!store.branch) return;
    this.retitle();
    store.send("panel", { panel: this.id, kind: this.kind, spec: this.spec, branch: store.selected }).catch((error) => {
      if (this.view.refused) this.view.refused(error.message);
      else this.at.textContent = error.message;
    });
  }

  respec(changes) {
    Object.assign(this.spec, changes);
    this.view.key = null;
    this.update();
  }

  update() {
    this.view?.update();
  }

  moment(moment) {
    this.view.show?.(moment);
  }

  key(event) {
    if (event.altKey && event.key.startsWith("Arrow")) {
      this.lab.panels.shift(this, event.key === "ArrowLeft" || event.key === "ArrowUp" ? -1 : 1);
      event.preventDefault();
      event.stopPropagation();
    }
  }

  drag(event) {
    this.lab.panels.moving = this;
    this.element.classList.add("moving");
    event.dataTransfer.setData("text/plain", this.title);
    event.dataTransfer.effectAllowed = "move";
  }

  menu(event) {
    this.lab.menu(event.currentTarget, [
      ...(this.view.menu?.() ?? []),
      { words: this.element.classList.contains("wide") ? "Smaller" : "Larger", act: () => this.element.classList.toggle("wide") },
      { words: "Move left (Alt+←)", act: () => this.lab.panels.shift(this, -1) },
      { words: "Move right (Alt+→)", act: () => this.lab.panels.shift(this, 1) },
      { words: "Save as PNG", act: () => this.png() },
      { words: "Save as SVG", act: () => save(`${this.file}.svg`, new Blob([this.svg()], { type: "image/svg+xml" })) },
      { words: "Save as CSV", act: () => save(`${this.file}.csv`, new Blob([this.view.csv()], { type: "text/csv" })) },
    ]);
  }

  get file() {
    return this.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "panel";
  }

  svg() {
    if (this.view.plot) return plotSvg(this.view.plot, this.title);
    const canvas = this.body.querySelector("canvas");
    return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${canvas?.width ?? 1} ${canvas?.height ?? 1}" width="480"><image width="100%" height="100%" style="image-rendering:pixelated" href="${canvas?.toDataURL() ?? ""}"/></svg>`;
  }

  png() {
    const canvas = this.body.querySelector("canvas");
    if (!canvas) return;
    const grown = canvas.width < 400 ? Math.ceil(640 / canvas.width) : 1;
    const sheet = h("canvas", { width: canvas.width * grown, height: canvas.height * grown }), pen = sheet.getContext("2d");
    pen.fillStyle = this.lab.looks.get("--paper");
    pen.fillRect(0, 0, sheet.width, sheet.height);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(canvas, 0, 0, sheet.width, sheet.height);
    sheet.toBlob((blob) => save(`${this.file}.png`, blob));
  }

  destroy() {
    this.view?.destroy();
    this.element.remove();
  }
}

export const KINDS = {
  curves: "Curve over time", weights: "Weights", singular: "Singular values", activations: "Activations", kernel: "Spectrum of the kernel", edge: "Sharpness and the edge",
  alignment: "Alignment", slice: "Loss along a direction", attention: "Attention", samples: "Samples, and what the network says",
};

const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");
