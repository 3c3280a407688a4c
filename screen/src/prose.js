// The little of Markdown that lessons are written in, as elements: paragraphs, headings, lists,
// **strong**, *stress*, `code`, $formulas$. Nothing is ever read as HTML.
import { h } from "./dom.js";

export function prose(text, formula) {
  const found = h("div", { class: "prose" });
  for (const block of String(text).replaceAll("\r\n", "\n").trim().split(/\n\s*\n/)) {
    const lines = block.split("\n");
    if (/^\$\$[\s\S]*\$\$$/.test(block.trim())) found.append(formula(block.trim().slice(2, -2), true));
    else if (/^```/.test(block)) found.append(h("pre", {}, block.replace(/^```.*\n?/, "").replace(/\n?```$/, "")));
    else if (/^#{1,4} /.test(block)) found.append(h("h4", {}, words(block.replace(/^#+ /, ""), formula)));
    else if (lines.every((one) => /^\s*([-*]|\d+\.) /.test(one) || /^\s{2,}/.test(one))) {
      const items = [];
      for (const line of lines) if (/^\s*([-*]|\d+\.) /.test(line)) items.push(line.replace(/^\s*([-*]|\d+\.) /, "")); else items[items.length - 1] += ` ${line.trim()}`;
      found.append(h(/^\s*\d/.test(block) ? "ol" : "ul", {}, items.map((one) => h("li", {}, words(one, formula)))));
    } else found.append(h("p", {}, words(lines.join(" "), formula)));
  }
  return found;
}

function words(text, formula) {
  return text.split(/(\$\$[^$]+\$\$|\$[^$]+\$|`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/).filter(Boolean).map((one) => {
    if (one.startsWith("$$") && one.length > 4) return formula(one.slice(2, -2), true);
    if (one.startsWith("$") && one.length > 2) return formula(one.slice(1, -1), false);
    if (one.startsWith("`") && one.length > 2) return h("code", {}, one.slice(1, -1));
    if (one.startsWith("**") && one.length > 4) return h("strong", {}, one.slice(2, -2));
    if (one.startsWith("*") && one.length > 2) return h("em", {}, one.slice(1, -1));
    return one;
  });
}
