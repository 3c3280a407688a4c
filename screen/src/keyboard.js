// Keys for everything, where no field has them; within a notebook only while the screen has the focus.
import { exporting, help } from "./faces/editor.js";

export function keyboard(lab) {
  const target = lab.kind === "lab" ? document : lab.host;
  const act = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || lab.bench.hidden || lab.root.querySelector("dialog[open]")) return;
    const at = event.composedPath()[0];
    if (!event.composedPath().includes(lab.host) && at !== document.body && at !== document) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName ?? "") && at.type !== "checkbox" && at.type !== "range") return;
    if (at.type === "range" && event.key.startsWith("Arrow")) return;
    const { timeline } = lab, pressable = /^(BUTTON|SUMMARY|A)$/.test(at.tagName ?? "") || at.type === "checkbox";
    const acts = {
      " ": () => !pressable || at === timeline.playing ? timeline.toggle() : false,
      ArrowRight: () => event.altKey ? false : timeline.by(event.shiftKey ? "mark" : "step"),
      ArrowLeft: () => event.altKey ? false : timeline.back(event.shiftKey ? "mark" : "step"),
      Home: () => lab.store.seek(0), End: () => lab.store.live(), "?": () => help(lab), e: () => lab.kind !== "report" && lab.editor(),
      x: () => exporting(lab, lab.head.querySelector("nav button[aria-haspopup]")), p: () => lab.panels.add(lab.panels.adder),
      u: () => lab.store.branch?.parent && lab.store.ask("undo", { branch: lab.store.selected }),
      1: () => lab.tab("knobs"), 2: () => lab.tab("theory"), 3: () => lab.tab("branches"), 4: () => lab.tabs.get("lesson")?.hidden === false && lab.tab("lesson"),
      Escape: () => lab.closeMenu?.(),
    };
    if (!acts[event.key]) return;
    if (acts[event.key]() !== false) event.preventDefault();
  };
  target.addEventListener("keydown", act);
  return () => target.removeEventListener("keydown", act);
}
