// What a hand can do to an entry of an array: the list comes from the interventions of the catalogue.
import { button, h, number } from "../dom.js";

const FALLBACK = [
  { kind: "add", title: "Add to this weight", for: "entry", takes: "number", default: 0.1 }, { kind: "set", title: "Set this weight", for: "entry", takes: "number", default: 0 },
  { kind: "scale", title: "Scale this weight by", for: "entry", takes: "number", default: 2 }, { kind: "freeze", title: "Freeze this weight", for: "entry" },
  { kind: "freeze", title: "Freeze its row", for: "row" }, { kind: "ablate", title: "Ablate its unit (row)", for: "row" }, { kind: "freeze", title: "Freeze the layer", for: "layer" },
  { kind: "noise", title: "Add noise to the layer", for: "layer", takes: "number", default: 0.01 }, { kind: "push", title: "Push along the sharpest direction", for: "branch", takes: "number", default: 0.1 },
];

export const offered = (branch) => branch?.said.interventions ?? FALLBACK;

export function touch(lab, address, [row, column], value, event) {
  const branch = lab.store.branch;
  const vector = branch.said.addresses?.find((one) => one.address === address)?.shape.length === 1;
  const where = vector ? `${address}[${column}]` : `${address}[${row}, ${column}]`;
  const index = { entry: vector ? [column] : [row, column], row: { row }, layer: null, branch: null };
  const items = [{ heading: `${where} = ${number(value, 5)}` }];
  for (const one of offered(branch)) {
    if (vector && one.for === "row") continue;
    items.push({ words: one.title + (one.takes ? "…" : ""), act: () => (one.takes ? asked(lab, one, where, (given) => happen(lab, one, address, index[one.for], given)) : happen(lab, one, address, index[one.for], null)) });
  }
  lab.menu(event, items);
}

function asked(lab, one, where, then) {
  lab.dialog(one.title, (close) => {
    const field = h("input", { type: "number", step: "any", value: String(one.default ?? 0), "aria-label": `${one.title}: value` });
    const go = () => {
      if (!Number.isFinite(field.valueAsNumber)) return field.focus();
      close();
      then(field.valueAsNumber);
    };
    field.addEventListener("keydown", (e) => e.key === "Enter" && go());
    return [
      h("p", { class: "dim" }, one.for === "entry" ? `${where}, at the cursor: from there the run goes on as a branch.` : "At the cursor: from there the run goes on as a branch."),
      h("label", { class: "field" }, "Value", field), h("div", { class: "row" }, button("Cancel", close), button("Do it", go, { class: "main" })),
    ];
  });
}

export async function happen(lab, one, address, index, value) {
  const branch = lab.store.branch;
  try {
    const opened = await lab.store.send("event", { branch: branch.id, at: branch.shown, event: { kind: one.kind, address: one.for === "branch" ? null : address, index, value } });
    lab.store.rest(branch);
    lab.announce(`${one.title}: a new branch from ${branch.steps ? "step" : "mark"} ${opened.at}`);
  } catch (error) {
    lab.refused(error.message);
  }
}
