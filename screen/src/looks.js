// Colors, marks and dashes. Okabe and Ito's hues, told apart by readers of every color vision, each
// of a lightness that is legible on the ground it stands on; marks and dashes say the same.

const LIGHT = ["#0068a8", "#c14d00", "#00805c", "#a8487f", "#8a6100", "#4f5bd5", "#7f3c8d", "#4a4a4a"];
const DARK = ["#5cb8f5", "#ff9a5c", "#45cfa4", "#ea9cca", "#efc04f", "#9aa5ff", "#cf9be0", "#c8c8c8"];

export const DASHES = [[7, 4], [2, 3], [9, 3, 2, 3], [12, 4], [4, 2], [2, 2, 6, 2]];

const polygon = (points) => (pen, x, y, r) => {
  points.forEach(([a, b], i) => (i ? pen.lineTo(x + a * r, y + b * r) : pen.moveTo(x + a * r, y + b * r)));
  pen.closePath();
};

export const MARKS = {
  circle: (pen, x, y, r) => (pen.moveTo(x + r, y), pen.arc(x, y, r, 0, 2 * Math.PI)),
  square: polygon([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]),
  up: polygon([[0, -1.25], [1.15, 0.85], [-1.15, 0.85]]),
  diamond: polygon([[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]]),
  down: polygon([[0, 1.25], [1.15, -0.85], [-1.15, -0.85]]),
  cross: polygon([[-1.2, -0.45], [-0.45, -0.45], [-0.45, -1.2], [0.45, -1.2], [0.45, -0.45], [1.2, -0.45], [1.2, 0.45], [0.45, 0.45], [0.45, 1.2], [-0.45, 1.2], [-0.45, 0.45], [-1.2, 0.45]]),
};
export const SHAPES = Object.keys(MARKS);

export class Looks {
  constructor(host) {
    this.host = host;
    this.media = matchMedia("(prefers-color-scheme: dark)");
    this.acts = new Set();
    this.held = new Map();
    this.changed = () => {
      this.held.clear();
      for (const act of this.acts) act();
    };
    this.media.addEventListener("change", this.changed);
  }

  leave() {
    this.media.removeEventListener("change", this.changed);
  }

  get dark() {
    return this.media.matches;
  }

  onChange(act) {
    this.acts.add(act);
    return () => this.acts.delete(act);
  }

  get(name) {
    if (!this.held.has(name)) this.held.set(name, getComputedStyle(this.host).getPropertyValue(name).trim() || "#888");
    return this.held.get(name);
  }

  color(place) {
    const colors = this.dark ? DARK : LIGHT;
    return colors[place % colors.length];
  }

  // From negative over nothing to positive: blue, the ground, orange.
  diverging(share) {
    const ground = this.dark ? [30, 33, 38] : [250, 250, 248];
    const ends = this.dark ? [[86, 180, 245], [255, 150, 80]] : [[0, 84, 150], [190, 74, 0]];
    const end = ends[share < 0 ? 0 : 1], part = Math.min(1, Math.abs(share)) ** 0.8;
    return ground.map((one, i) => Math.round(one + (end[i] - one) * part));
  }
}
