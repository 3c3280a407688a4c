// One branch: an experiment under way, its marks, and what is known of it here.
import { Series } from "./series.js";

export class Branch {
  constructor(said, buffers) {
    Object.assign(this, {
      id: said.branch, parent: said.parent ?? null, at: said.at ?? 0, reached: 0, position: 0, status: "paused", playing: false,
      rate: null, cursor: null, drawn: new Map(), scored: new Map(), note: null,
    });
    this.series = new Map();
    this.lines = new Map();
    this.errors = new Map();
    this.moments = new Map();
    this.on = new Set();
    this.take(said, buffers);
  }

  take(said, buffers) {
    this.said = said;
    this.times = said.times === null || said.times === undefined ? new Float64Array(0) : buffers[said.times];
    this.steps = said.steps === null || said.steps === undefined ? null : buffers[said.steps];
    this.quantities = new Map((said.quantities ?? []).map((one) => [one.name, one]));
    this.reached = Math.max(this.reached, said.reached ?? 0);
    this.position = Math.max(this.position, said.position ?? 0);
    if (said.status) this.status = said.status;
    if (said.playing !== undefined) this.playing = said.playing;
  }

  get marks() {
    return this.times.length;
  }

  // Where a mark stands: its step; of flows its place.
  positionOf(mark) {
    const at = Math.max(0, Math.min(mark, this.marks - 1));
    return this.steps ? this.steps[at] : at;
  }

  markAt(position) {
    if (!this.steps) return Math.max(0, Math.min(Math.floor(position), this.marks - 1));
    let low = 0, high = this.marks;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle] <= position) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  timeOf(position) {
    if (!this.marks) return 0;
    const mark = this.markAt(position);
    if (!this.steps || mark + 1 >= this.marks) return this.times[mark];
    const a = this.steps[mark], b = this.steps[mark + 1];
    return this.times[mark] + ((position - a) / (b - a || 1)) * (this.times[mark + 1] - this.times[mark]);
  }

  get last() {
    return this.said.last_position ?? this.positionOf(this.marks - 1);
  }

  // The furthest position there is something to look at.
  get head() {
    return Math.max(this.position, this.reached ? this.positionOf(this.reached - 1) : 0);
  }

  get shown() {
    return this.cursor ?? this.head;
  }

  takeSeries(message, values, at) {
    const known = new Series(message.width, message.every);
    known.append(message.first, message.every, message.count, values, at);
    known.thinned = !!at;
    known.entries = message.entries ?? null;
    const before = this.series.get(message.quantity);
    // blocks that came while the history was on its way are later than it
    if (before && before.width === known.width)
      known.append(0, 1, before.count, before.values, before.marks);
    this.series.set(message.quantity, known);
  }

  takeBlock(message, buffers) {
    (message.series ?? []).forEach((one, i) => {
      let series = this.series.get(one.quantity);
      if (!series || series.width !== one.width) {
        series = new Series(one.width, one.every);
        this.series.set(one.quantity, series);
      }
      series.append(one.first, one.every, one.count, buffers[one.values ?? i]);
    });
    this.takeStatus(message);
  }

  takeStatus(message) {
    for (const name of ["reached", "position"]) if (Number.isFinite(message[name])) this[name] = message[name];
    for (const name of ["status", "playing", "rate", "note", "speed"]) if (message[name] !== undefined) this[name] = message[name];
  }
}
