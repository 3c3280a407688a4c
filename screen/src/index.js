// The screen for the lab and a notebook: `export default { render({ model, el }) }`.
import { css, formula } from "./formulas.js";
import { start } from "./lab.js";

export const render = ({ model, el }) => start({ model, el, formula, css });
export default { render };
