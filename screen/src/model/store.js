// The one place that knows the model: what was said is kept here, faces are told what changed.
import { Branch } from "./branch.js";

const TYPES = { f32: Float32Array, f64: Float64Array, i32: Int32Array };

// Buffers come as ArrayBuffers or views of them, at any offset; `types` says which are not f32.
export function arrays(buffers, types = {}) {
  return (buffers ?? []).map((one, i) => {
    const Type = TYPES[types[i] ?? "f32"];
    if (one instanceof Type) return one;
    const buffer = one.buffer ?? one, offset = one.byteOffset ?? 0, length = one.byteLength;
    const size = Type.BYTES_PER_ELEMENT;
    return offset % size ? new Type(buffer.slice(offset, offset + length)) : new Type(buffer, offset, Math.floor(length / size));
  });
}

function typesOf(content) {
  if (content.dtypes) return content.dtypes;
  const types = {};
  if (content.is === "opened") for (const name of ["times", "steps"]) if (Number.isInteger(content[name])) types[content[name]] = "f64";
  if (content.is === "series" || content.is === "lines" || content.is === "errors")
    if (Number.isInteger(content.x)) types[content.x] = "i32";
  return types;
}

export class Store {
  constructor(model) {
    this.model = model;
    this.kind = model.get("kind") ?? "lab";
    this.branches = new Map();
    this.tree = [];
    this.panels = new Map();
    this.selected = null;
    this.beside = [];
    this.welcome = null;
    this.asked = new Map();
    this.serial = 0;
    this.listeners = new Map();
    this.seeking = null;
    // what is open already comes before the tree that says which of it is selected
    this.greeting = this.kind !== "report";
    this.hear = (content, buffers) => this.take(content, buffers);
    model.on("msg:custom", this.hear);
    // of hosts whose line can break: what is shown is asked for again
    this.again = () => this.back();
    model.on("open", this.again);
  }

  leave() {
    this.model.off("msg:custom", this.hear);
    this.model.off("open", this.again);
  }

  on(name, act) {
    if (!this.listeners.has(name)) this.listeners.set(name, new Set());
    this.listeners.get(name).add(act);
    return () => this.listeners.get(name)?.delete(act);
  }

  tell(name, value) {
    for (const act of this.listeners.get(name) ?? []) act(value);
  }

  // A promise of the answer; refused with the sentence that was said.
  send(what, fields = {}) {
    const id = ++this.serial;
    return new Promise((resolve, reject) => {
      this.asked.set(id, { what, resolve, reject });
      // what is not answered is not kept
      if (this.asked.size > 512) this.asked.delete(this.asked.keys().next().value);
      this.model.send({ do: what, id, ...fields });
    });
  }

  // For what shows its answer elsewhere: a refusal is told to the reader.
  ask(what, fields) {
    return this.send(what, fields).catch((error) => this.tell("refused", error.message));
  }

  get branch() {
    return this.branches.get(this.selected) ?? null;
  }

  take(content, buffers) {
    if (!content || typeof content.is !== "string") return;
    const given = arrays(buffers, typesOf(content));
    const taken = this[`take_${content.is}`];
    if (taken) taken.call(this, content, given);
    const waiting = this.asked.get(content.id);
    if (!waiting) return;
    this.asked.delete(content.id);
    if (content.is === "error") waiting.reject(new Error(content.said));
    else waiting.resolve(content);
  }

  take_welcome(said) {
    this.welcome = said;
    this.tell("welcome", said);
  }

  take_away(said) {
    this.away = true;
    this.seeking = null;
    this.tell("away", said.said);
  }

  async back() {
    if (!this.away) return;
    this.away = false;
    await this.send("hello").catch(() => {});
    this.tell("back");
    if (this.branch) this.tell("selected", { before: this.branch, now: this.branch });
  }

  take_opened(said, buffers) {
    const known = this.branches.get(said.branch);
    if (known) known.take(said, buffers);
    else this.branches.set(said.branch, new Branch(said, buffers));
    // another subject begins anew; a knob turned from the start keeps what one has laid out
    if (!known && ["open", "lesson"].includes(this.asked.get(said.id)?.what)) this.tell("root", said);
    if (this.greeting && !this.asked.has(said.id)) return;
    this.greeting = false;
    if (!known || this.selected === null) this.choose(said.branch, false);
    this.tell("opened", said);
  }

  choose(id, told = true) {
    if (!this.branches.has(id)) {
      this.ask("select", { branch: id });
      return;
    }
    const before = this.branch;
    this.selected = id;
    if (told) this.ask("select", { branch: id });
    this.tell("selected", { before, now: this.branch });
  }

  take_block(said, buffers) {
    const branch = this.branches.get(said.branch);
    if (!branch) return;
    const playing = branch.playing, status = branch.status;
    branch.takeBlock(said, buffers);
    this.tell("data", branch);
    if (playing !== branch.playing || status !== branch.status) this.tell("status", branch);
  }

  take_status(said) {
    const branch = this.branches.get(said.branch);
    if (!branch) return;
    branch.takeStatus(said);
    this.tell("status", branch);
    this.tell("data", branch);
  }

  take_at(said) {
    const branch = this.branches.get(said.branch);
    // of a drag that has gone on what is older does not count
    if (!branch || (this.seeking && this.seeking.next !== null)) return;
    branch.cursor = said.position;
    branch.playing = said.playing;
    this.tell("cursor", branch);
    this.tell("status", branch);
  }

  // Which theories apply is found out while the run may already go on.
  take_theories(said) {
    const branch = this.branches.get(said.branch);
    if (!branch) return;
    branch.said = { ...branch.said, theories: said.theories ?? branch.said.theories, near: said.near ?? branch.said.near };
    this.tell("theories", branch);
    this.tell("lines", branch);
  }

  take_series(said, buffers) {
    const branch = this.branches.get(said.branch ?? this.selected);
    if (!branch) return;
    branch.takeSeries(said, buffers[said.values ?? 0], Number.isInteger(said.x) ? buffers[said.x] : null);
    this.tell("data", branch);
  }

  take_moment(said, buffers) {
    const branch = this.branches.get(said.branch ?? this.selected);
    if (!branch) return;
    const held = { ...said, values: buffers[said.values ?? 0], x: Number.isInteger(said.x) ? buffers[said.x] : null, buffers };
    branch.moments.set(said.panel, held);
    this.tell("moment", { branch, moment: held });
  }

  take_lines(said, buffers) {
    const branch = this.branches.get(said.branch);
    if (!branch) return;
    const at = Number.isInteger(said.x) ? buffers[said.x] : null;
    branch.lines.set(`${said.theory}|${said.quantity}`, { ...said, values: buffers[said.values ?? 0], at });
    this.tell("data", branch);
    this.tell("lines", branch);
  }

  take_errors(said, buffers) {
    const branch = this.branches.get(said.branch);
    if (!branch) return;
    const at = Number.isInteger(said.x) ? buffers[said.x] : null;
    branch.errors.set(`${said.theory}|${said.quantity}`, { ...said, error: buffers[Number.isInteger(said.error) ? said.error : 0] ?? [], at });
    this.tell("errors", branch);
  }

  take_branches(said) {
    this.tree = said.branches ?? [];
    for (const one of this.tree) {
      const branch = this.branches.get(one.branch);
      if (branch) branch.takeStatus({ ...one, status: one.status });
    }
    const gone = [...this.branches.keys()].filter((id) => !this.tree.some((one) => one.branch === id));
    for (const id of gone) this.branches.delete(id);
    const greeting = this.greeting;
    this.greeting = false;
    if (greeting && this.branches.size) {
      const last = said.selected ?? this.welcome?.opened ?? this.tree[this.tree.length - 1]?.branch;
      this.choose(last, true);
      this.tell("opened", this.branches.get(last)?.said ?? {});
    }
    if (said.selected && said.selected !== this.selected && this.branches.has(said.selected)) this.choose(said.selected, false);
    this.tell("branches", said);
  }

  take_distance(said, buffers) {
    this.distance = { ...said, buffers };
    this.tell("distance", this.distance);
  }

  take_scored(said) {
    this.branches.get(said.branch)?.scored.set(said.quantity, said);
    this.tell("scored", said);
  }

  take_error(said) {
    if (said.panel) this.tell("unseen", said);
    else if (!this.asked.has(said.id)) this.tell("refused", said.said);
  }

  // A branch that was left for a child of it rests, but for the root: of a dial that is turned ten
  // times not ten runs go on at once.
  rest(branch) {
    if (branch.parent && branch.playing && branch !== this.branch) this.ask("pause", { branch: branch.id });
  }

  // One question at a time is under way; of those that a drag asks meanwhile the last alone counts.
  seek(position) {
    const branch = this.branch;
    if (!branch) return;
    const at = Math.max(0, Math.min(Math.round(position), branch.head));
    branch.cursor = at;
    this.tell("cursor", branch);
    if (this.seeking) {
      this.seeking.next = at;
      return;
    }
    const mine = (this.seeking = { next: null });
    const done = () => {
      if (this.seeking !== mine) return;
      this.seeking = null;
      if (mine.next !== null && mine.next !== at && this.branch === branch) this.seek(mine.next);
    };
    // a panel that cannot be replayed answers nothing: go on after a while
    const late = setTimeout(done, 1000);
    this.send("seek", { branch: branch.id, position: at })
      .catch((error) => this.tell("refused", error.message))
      .finally(() => {
        clearTimeout(late);
        done();
      });
  }

  live() {
    const branch = this.branch;
    if (!branch) return;
    branch.cursor = null;
    this.tell("cursor", branch);
    this.ask("live", { branch: branch.id });
  }
}
