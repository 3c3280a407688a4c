// The experiment's text, to be changed and opened anew; and what leads out of the lab.
import { button, h } from "../dom.js";
import { closing } from "../controls/menu.js";

export function editor(lab, text, note = "") {
  const area = h("textarea", { spellcheck: "false", rows: "18", "aria-label": "The experiment as TOML", value: text });
  const said = h("p", { class: "refusal", role: "alert" });
  lab.dialog("The experiment as text", (close) => {
    const go = async () => {
      said.textContent = "";
      try {
        await lab.store.send("open", { text: area.value, changes: {}, small: false });
        close();
      } catch (error) {
        said.textContent = error.message;
        area.focus();
      }
    };
    area.addEventListener("keydown", (e) => (e.ctrlKey || e.metaKey) && e.key === "Enter" && go());
    return [h("p", { class: "dim" }, note || "Nothing runs until you press play. Ctrl+Enter opens it."), area, said, h("div", { class: "row" }, button("Cancel", close), button("Open it", go, { class: "main" }))];
  }, true);
}

const WAYS = [["toml", "As TOML"], ["python", "As Python"], ["command", "As a command"], ["link", "As a link"], ["folder", "As a run folder"]];

export function exporting(lab, anchor) {
  lab.menu(anchor, WAYS.filter(([as]) => lab.store.kind !== "report" || as === "toml").map(([as, words]) => ({ words, act: () => out(lab, as, words) })));
}

async function out(lab, as, words) {
  try {
    const said = await lab.store.send("export", { branch: lab.store.selected, as });
    let text = said.text ?? said.link ?? said.folder ?? "";
    if (as === "link" && !/^https?:/.test(text)) text = `${location.href.split("#")[0]}#${text.replace(/^.*#/, "")}`;
    lab.dialog(words.replace("As", "The experiment as"), (close) => {
      const area = h("textarea", { readonly: true, rows: as === "toml" || as === "python" ? "16" : "3", "aria-label": words, value: text, class: "exported" });
      const copy = button("Copy", async () => {
        area.select();
        await navigator.clipboard?.writeText(text).catch(() => document.execCommand("copy"));
        lab.announce("Copied");
        copy.textContent = "Copied";
      });
      return [area, h("div", { class: "row" }, copy, button("Close", close, { class: "main" }))];
    }, true);
  } catch (error) {
    lab.refused(error.message);
  }
}

export function help(lab) {
  const keys = [["Space", "play, pause"], ["← →", "one step back, forward"], ["Shift ← →", "to the mark before, the next mark"], ["Home, End", "the start, the run's head"], ["1 … 4", "knobs, theory, branches, lesson"], ["p", "add a panel"], ["e", "the experiment's text"], ["x", "export"], ["u", "undo this branch's change"], ["Alt ← →", "move the panel that has the focus"], ["Arrows, Enter", "in a heat map: go to a weight, change it"], ["Esc", "close what is open"], ["?", "this list"]];
  lab.dialog("Keys", (close) => [h("table", { class: "keys" }, h("tbody", {}, keys.map(([key, words]) => h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, words))))),
    h("p", { class: "dim" }, "In a panel: drag to zoom, double click to undo it, click to pin the numbers."), closing(close)]);
}
