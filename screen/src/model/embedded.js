// A model without a server: it answers from what a page holds, and plays what was run once.

const TYPES = { f32: Float32Array, f64: Float64Array, i32: Int32Array };

export class Embedded {
  constructor(data) {
    this.data = data;
    this.acts = new Set();
    this.buffers = data.buffers.map(({ dtype, data: written }) => {
      const bytes = Uint8Array.from(atob(written), (c) => c.charCodeAt(0));
      return new TYPES[dtype](bytes.buffer);
    });
    this.steps = data.opened.steps === null ? null : this.buffers[data.opened.steps];
    this.times = this.buffers[data.opened.times];
    this.panels = new Map();
    this.speed = 20;
    this.position = this.head;
  }

  get(name) {
    return { kind: "report", opening: this.data.opened }[name];
  }

  on(name, act) {
    if (name === "msg:custom") this.acts.add(act);
  }

  off(name, act) {
    this.acts.delete(act);
  }

  say(content, buffers = []) {
    for (const act of this.acts) act(content, buffers);
  }

  get head() {
    const mark = Math.max(0, this.data.reached - 1);
    return this.steps ? this.steps[mark] : mark;
  }

  markAt(position) {
    if (!this.steps) return Math.round(position);
    let mark = 0;
    while (mark + 1 < this.data.reached && this.steps[mark + 1] <= position) mark++;
    return mark;
  }

  // Its fields that are places of buffers, as a message with those buffers.
  with(content, names, id) {
    const said = { ...content, id }, buffers = [];
    for (const name of names) {
      if (!Number.isInteger(said[name])) continue;
      buffers.push(this.buffers[said[name]]);
      said[name] = buffers.length - 1;
    }
    this.say(said, buffers);
  }

  send({ do: what, id, ...asked }) {
    const act = this[`do_${what}`];
    queueMicrotask(() => {
      if (act) act.call(this, asked, id);
      else this.say({ is: "error", said: "A page without a server cannot do this: open the run in the lab.", about: what, id });
    });
  }

  do_hello(_, id) {
    this.say({ is: "welcome", kind: "report", exhibits: [], lessons: [], id });
    this.with({ ...this.data.opened, reached: this.data.reached, position: this.head, status: "finished" }, ["times", "steps"]);
  }

  do_panel({ panel, kind, spec }, id) {
    this.panels.set(panel, { kind, spec });
    if (kind !== "curves") return this.moment(panel, id);
    const series = this.data.series.find((one) => one.quantity === spec.quantity);
    if (series) this.with(series, ["values", "x"], id);
    else this.say({ is: "error", said: `${spec.quantity} was not watched here.`, about: "panel", id });
    for (const one of this.data.series.filter((other) => this.band(other.quantity, spec.quantity))) this.with(one, ["values", "x"]);
  }

  band(name, of) {
    return this.data.opened.quantities.some((one) => one.name === name && one.of === of);
  }

  // Of an array that was watched, its values at the last mark before the cursor.
  moment(panel, id) {
    const { spec, kind } = this.panels.get(panel);
    const series = this.data.series.find((one) => one.quantity === spec.address);
    const quantity = this.data.opened.quantities.find((one) => one.name === spec.address);
    if (!series || kind !== "weights") return this.say({ is: "error", said: "This was not watched; the lab can replay it.", about: "panel", id });
    const marks = this.buffers[series.x], at = this.markAt(this.position);
    let row = 0;
    while (row + 1 < series.count && marks[row + 1] <= at) row++;
    const sizes = quantity.axes.map((one) => one.size), shape = sizes.length > 1 ? [sizes.slice(0, -1).reduce((a, b) => a * b, 1), sizes[sizes.length - 1]] : [1, sizes[0] ?? 1];
    const values = this.buffers[series.values].subarray(row * series.width, (row + 1) * series.width);
    this.say({ is: "moment", branch: "run", panel, kind, position: this.position, shape, axes: quantity.axes.map((one) => one.name), labels: sizes.length === 2 ? quantity.axes.map((one) => one.labels) : null, title: spec.address, units: quantity.units, values: 0, id }, [values]);
  }

  do_close({ panel }, id) {
    this.panels.delete(panel);
    this.say({ is: "done", id });
  }

  do_theory({ theory, on }, id) {
    if (on) {
      for (const one of this.data.lines.filter((line) => line.theory === theory)) this.with(one, ["values", "x"]);
      for (const one of this.data.errors.filter((error) => error.theory === theory)) this.with(one, ["error", "x"]);
    }
    this.say({ is: "done", id });
  }

  go(position, playing = false) {
    this.position = Math.max(0, Math.min(this.head, position));
    this.say({ is: "at", branch: "run", position: this.position, playing });
    for (const [panel, { kind }] of this.panels) if (kind !== "curves") this.moment(panel);
  }

  do_seek({ position }, id) {
    this.stop();
    this.go(position);
    this.say({ is: "done", id });
  }

  do_live(_, id) {
    this.stop();
    this.position = this.head;
    this.say({ is: "at", branch: "run", position: null, playing: false, id });
    this.go_panels();
  }

  go_panels() {
    for (const [panel, { kind }] of this.panels) if (kind !== "curves") this.moment(panel);
  }

  do_select(_, id) {
    this.say({ is: "done", id });
  }

  do_speed({ marks_per_second: speed }, id) {
    this.speed = speed;
    this.say({ is: "done", id });
  }

  do_play(_, id) {
    this.stop();
    if (this.position >= this.head) this.position = 0;
    let before = performance.now(), mark = this.markAt(this.position);
    const turn = (now) => {
      mark += (this.speed ?? Math.max(20, this.data.reached / 4)) * ((now - before) / 1000);
      before = now;
      const at = Math.min(Math.floor(mark), this.data.reached - 1);
      const end = at >= this.data.reached - 1;
      this.go(this.steps ? this.steps[at] : at, !end);
      this.playing = end ? null : requestAnimationFrame(turn);
    };
    this.playing = requestAnimationFrame(turn);
    this.say({ is: "done", id });
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
  }

  do_pause(_, id) {
    this.stop();
    this.go(this.position);
    this.say({ is: "done", id });
  }

  do_step(_, id) {
    this.stop();
    this.go(this.position + 1);
    this.say({ is: "done", id });
  }

  do_mark(_, id) {
    this.stop();
    const mark = Math.min(this.markAt(this.position) + 1, this.data.reached - 1);
    this.go(this.steps ? this.steps[mark] : mark);
    this.say({ is: "done", id });
  }

  do_export({ as }, id) {
    this.say({ is: "exported", as, text: this.data.opened.text, id });
  }
}
