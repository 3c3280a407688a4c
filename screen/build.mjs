// Builds the module: one file each for the lab with notebooks, and for a report, with the licenses
// of what is within. `node build.mjs` after `npm ci`; `node build.mjs FOLDER` writes elsewhere.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "learnmech", "screen", "bundle");
const sha = (text) => createHash("sha256").update(text).digest("hex");
const unixed = (path) => readFileSync(path).toString("latin1").replaceAll("\r\n", "\n");

function walk(folder) {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? walk(path) : [path];
  });
}

// As learnmech/screen/module.py reckons it, so that a stale bundle is seen without Node.
function digest() {
  const files = ["package.json", "package-lock.json", "build.mjs"].map((name) => join(here, name));
  const named = [...files, ...walk(join(here, "src"))].map((path) => [relative(here, path).replaceAll("\\", "/"), path]);
  named.sort((a, b) => (a[0] < b[0] ? -1 : 1));
  return sha(named.map(([name, path]) => `${name}\n${sha(Buffer.from(unixed(path), "latin1"))}\n`).join(""));
}

// The fonts that formulas of lessons need: bold and slanted letters are made from these by the browser, and
// script, fraktur and typewriter left out; all together would be another 170 kB.
const FONTS = [
  "Main-Regular", "Math-Italic", "AMS-Regular", "Caligraphic-Regular",
  "Size1-Regular", "Size2-Regular", "Size3-Regular", "Size4-Regular",
];

const katex = join(here, "node_modules", "katex");
const formulas = {
  name: "formulas",
  setup(on) {
    on.onResolve({ filter: /^katex:/ }, (asked) => ({ path: asked.path, namespace: "katex" }));
    on.onLoad({ filter: /.*/, namespace: "katex" }, (asked) => {
      if (asked.path === "katex:css") {
        const css = readFileSync(join(katex, "dist", "katex.min.css"), "utf8");
        // @font-face counts in the document alone, not in a shadow root: fonts are added there
        return { contents: css.replace(/@font-face\{[^}]*\}/g, ""), loader: "text" };
      }
      const faces = FONTS.map((name) => {
        const [family, style] = name.split("-");
        const data = readFileSync(join(katex, "dist", "fonts", `KaTeX_${name}.woff2`)).toString("base64");
        return [`KaTeX_${family}`, style.includes("Italic") ? "italic" : "normal", style.includes("Bold") ? "bold" : "normal", data];
      });
      return { contents: JSON.stringify(faces), loader: "json" };
    });
  },
};

const named = { screen: "src/index.js", report: "src/report.js" };
mkdirSync(out, { recursive: true });
const from = digest();
for (const [name, entry] of Object.entries(named)) {
  const made = await build({
    entryPoints: [join(here, entry)],
    absWorkingDir: here,
    bundle: true,
    minify: true,
    format: "esm",
    target: ["es2022", "chrome110", "firefox110", "safari16"],
    loader: { ".css": "text" },
    legalComments: "none",
    charset: "ascii",
    define: { __FORMULAS__: String(name === "screen") },
    plugins: [formulas],
    write: false,
  });
  const text = made.outputFiles[0].text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
  const packages = JSON.parse(readFileSync(join(here, "package.json"), "utf8")).dependencies;
  const head = [
    "/*! The screen of learnmech, Apache-2.0. Built from screen/ by `make screen`; do not edit.",
    ` * sources: ${from}`,
    ` * uplot: ${packages.uplot}`,
    ...(name === "screen" ? [` * katex: ${packages.katex}`] : []),
    " * Licenses of what is within: LICENSES beside this file.",
    " */",
  ].join("\n");
  writeFileSync(join(out, `${name}.js`), `${head}\n${text}`);
  console.log(name, text.length);
}
const licenses = ["uplot", "katex"].map((name) => {
  const text = readFileSync(join(here, "node_modules", name, "LICENSE"), "utf8").trim();
  return `${name}\n${"=".repeat(name.length)}\n\n${text}\n`;
});
writeFileSync(join(out, "LICENSES"), licenses.join("\n\n"));
