// Formulas by KaTeX, which lies beside this page; without it they stay as they were written.
document.addEventListener("DOMContentLoaded", () => {
  if (!window.katex) return
  for (const one of document.querySelectorAll(".arithmatex")) {
    const said = one.textContent.trim(), display = said.startsWith("\\[")
    katex.render(said.slice(2, -2), one, { displayMode: display, throwOnError: false })
  }
})
