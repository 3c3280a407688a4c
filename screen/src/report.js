// The screen for a page without a server: its model is the data that the page holds.
import { Embedded } from "./model/embedded.js";
import { start } from "./lab.js";
import { css, formula } from "./plainly.js";

export const render = ({ model, el }) => start({ model, el, formula, css });
export default { render };

const data = document.getElementById("learnmech-data"), el = document.getElementById("learnmech-screen");
if (data && el) {
  try {
    const said = JSON.parse(data.textContent);
    // what is left of the page stays as it is: nothing has to be found for it to be read
    render({ model: new Embedded(said), el });
    el.hidden = false;
  } catch (error) {
    console.error(error);
  }
}
