// Time: play, pause, step, mark, speed; and the line of the run on which one drags back and forth,
// with its marks, events and checkpoints.
import { button, fill, h, icon, number } from "../dom.js";

const SPEEDS = [[1, "1 mark/s"], [5, "5 marks/s"], [20, "20 marks/s"], [100, "100 marks/s"], [null, "full speed"]];

export class Timeline {
  constructor(lab) {
    this.lab = lab;
    const { store } = lab, report = store.kind === "report";
    this.playing = button("Play", () => this.toggle(), { class: "play main" }, icon("play"));
    this.step = button("One step (→)", () => this.by("step"), { class: "bare" }, icon("step"));
    this.mark = button("To the next mark (Shift →)", () => this.by("mark"), { class: "bare" }, icon("mark"));
    this.speed = h("select", { "aria-label": "Speed", on: { change: () => store.ask("speed", { branch: store.selected, marks_per_second: SPEEDS[this.speed.selectedIndex][0] }) } }, SPEEDS.map(([, words]) => h("option", {}, words)));
    this.speed.selectedIndex = report ? 2 : 4;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.knob = h("div", { class: "knob", "aria-hidden": "true" });
    this.track = h("div", {
      class: "track", tabindex: "0", role: "slider", "aria-label": "Where in the run", "aria-valuemin": "0",
      on: { pointerdown: (e) => this.down(e), pointermove: (e) => this.pressed && this.drag(e), pointerup: () => (this.pressed = false), pointercancel: () => (this.pressed = false), keydown: (e) => this.key(e) },
    }, this.canvas, this.knob);
    this.words = h("output", { class: "where" });
    this.now = button("To the run's head (End)", () => store.live(), { class: "bare live" }, icon("live"));
    this.element = h("div", { class: "timeline", role: "group", "aria-label": "Time" },
      h("div", { class: "transport" }, this.playing, this.step, this.mark, this.speed), this.track, this.now, this.words);
    for (const name of ["data", "status", "cursor", "selected", "branches"]) store.on(name, () => this.later());
    lab.looks.onChange(() => ((this.key_ = null), this.later()));
    this.sized = new ResizeObserver(() => ((this.key_ = null), this.later()));
    this.sized.observe(this.track);
  }

  leave() {
    this.sized.disconnect();
    cancelAnimationFrame(this.frame);
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  get branch() {
    return this.lab.store.branch;
  }

  toggle() {
    const { store } = this.lab, branch = this.branch;
    if (!branch) return;
    store.ask(branch.playing ? "pause" : "play", { branch: branch.id });
    if (!branch.playing && branch.cursor !== null && store.kind !== "report") store.live();
  }

  by(what) {
    const { store } = this.lab, branch = this.branch;
    if (!branch) return;
    if (branch.cursor !== null && branch.cursor < branch.head) {
      const mark = branch.markAt(branch.cursor);
      return store.seek(what === "step" ? branch.cursor + 1 : branch.positionOf(mark + 1));
    }
    store.ask(what, { branch: branch.id, count: 1 });
  }

  back(what) {
    const { store } = this.lab, branch = this.branch;
    if (!branch) return;
    const here = branch.shown, mark = branch.markAt(here);
    store.seek(what === "step" ? here - 1 : branch.positionOf(branch.positionOf(mark) < here ? mark : mark - 1));
  }

  down(event) {
    if (!this.branch) return;
    event.preventDefault();
    this.track.setPointerCapture(event.pointerId);
    this.track.focus();
    this.pressed = true;
    this.drag(event);
  }

  drag(event) {
    const box = this.track.getBoundingClientRect(), branch = this.branch;
    const share = Math.max(0, Math.min(1, (event.clientX - box.left - 8) / (box.width - 16)));
    this.lab.store.seek(share * branch.last);
  }

  key(event) {
    const branch = this.branch, { store } = this.lab;
    if (!branch) return;
    const far = Math.max(1, Math.round(branch.last / 20));
    const acts = {
      ArrowRight: () => this.by(event.shiftKey ? "mark" : "step"), ArrowLeft: () => this.back(event.shiftKey ? "mark" : "step"),
      PageUp: () => store.seek(branch.shown + far), PageDown: () => store.seek(branch.shown - far), Home: () => store.seek(0), End: () => store.live(),
    };
    if (!acts[event.key] || event.altKey) return;
    acts[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }

  place(position) {
    const { last } = this.branch;
    return 8 + (last > 0 ? Math.min(1, position / last) : 0) * (this.width - 16);
  }

  draw() {
    const branch = this.branch;
    if (!branch) return;
    this.width = this.track.clientWidth;
    const height = this.track.clientHeight;
    const key = JSON.stringify([branch.id, this.width, branch.head, branch.said.events?.length, branch.said.checkpoints?.length, this.lab.looks.dark, branch.parent]);
    if (key !== this.key_) {
      this.key_ = key;
      this.ground(branch, height);
    }
    this.knob.style.transform = `translateX(${this.place(branch.shown)}px)`;
    this.knob.classList.toggle("back", branch.cursor !== null && branch.cursor < branch.head);
    const unit = branch.steps ? "step" : "mark", at = branch.shown;
    const time = `t = ${number(branch.timeOf(at), 5)}`;
    const state = branch.status ?? "";
    const starting = branch.playing && branch.reached <= 1;
    const text = `${unit} ${at} of ${branch.last}`;
    if (this.said !== `${text}|${state}|${branch.rate}|${branch.playing}`) {
      this.said = `${text}|${state}|${branch.rate}|${branch.playing}`;
      fill(this.words, h("span", {}, text), h("span", { class: `state ${branch.status}` }, `${time} · ${branch.playing ? (starting ? "compiling…" : `running${branch.rate ? `, ${number(branch.rate, 2)} marks/s` : ""}`) : state}`));
      this.track.setAttribute("aria-valuemax", branch.last);
      this.track.setAttribute("aria-valuenow", at);
      this.track.setAttribute("aria-valuetext", `${unit} ${at}, ${time}`);
    }
    if (this.wasPlaying !== branch.playing) {
      this.wasPlaying = branch.playing;
      const words = branch.playing ? "Pause" : "Play";
      this.playing.setAttribute("aria-label", words);
      this.playing.title = `${words} (Space)`;
      fill(this.playing, icon(branch.playing ? "pause" : "play"));
    }
    this.now.disabled = branch.cursor === null;
    const over = ["finished", "diverged", "failed"].includes(branch.status);
    this.playing.disabled = over && this.lab.store.kind !== "report";
  }

  ground(branch, height) {
    const ratio = devicePixelRatio || 1, { canvas, width } = this, { looks } = this.lab;
    Object.assign(canvas, { width: width * ratio, height: height * ratio });
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const middle = height / 2 + 2;
    const bar = (from, to, color, thick) => {
      pen.fillStyle = color;
      pen.beginPath();
      pen.roundRect(from, middle - thick / 2, Math.max(0, to - from), thick, thick / 2);
      pen.fill();
    };
    bar(8, width - 8, looks.get("--line"), 6);
    const begun = branch.parent ? this.place(branch.at) : 8;
    bar(8, begun, looks.get("--quiet"), 4);
    bar(begun, this.place(branch.head), looks.get("--accent"), 6);
    // marks as far as they can be told apart: below, as a scale; a tick on each tenth is longer
    const gap = (width - 16) / Math.max(1, branch.marks - 1), every = Math.max(1, Math.ceil(5 / gap));
    pen.fillStyle = looks.get("--faint");
    for (let i = 0; i < branch.marks; i += every) pen.fillRect(this.place(branch.positionOf(i)) - 0.5, middle + 7, 1, (i / every) % 10 ? 3 : 6);
    for (const at of branch.said.checkpoints ?? []) {
      pen.fillStyle = looks.get("--quiet");
      pen.fillRect(this.place(at) - 1, middle + 7, 2, 8);
    }
    const forks = this.lab.store.tree.filter((one) => one.parent === branch.id).map((one) => ({ at: one.at, words: "a branch leaves", fork: true }));
    for (const one of [...(branch.said.events ?? []), ...forks]) {
      const x = this.place(one.at);
      pen.fillStyle = one.fork ? looks.get("--quiet") : looks.get("--event");
      pen.beginPath();
      pen.moveTo(x, middle - 5);
      pen.lineTo(x - 5, middle - 13);
      pen.lineTo(x + 5, middle - 13);
      pen.fill();
    }
    this.track.title = (branch.said.events ?? []).map((one) => `${one.at}: ${one.words}`).join("\n");
  }
}
