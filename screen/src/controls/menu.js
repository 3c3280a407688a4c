// Menus and dialogs: opened by click or key, closed by Escape, focus goes back where it was.
import { button, fresh, h } from "../dom.js";

export function openMenu(lab, anchor, items, { search = false } = {}) {
  lab.closeMenu?.();
  const before = lab.root.activeElement;
  const box = anchor.getBoundingClientRect?.() ?? { left: anchor.clientX, right: anchor.clientX, bottom: anchor.clientY, top: anchor.clientY };
  const rows = items.map((one) => one.heading ? h("div", { class: "heading", role: "presentation" }, one.heading)
    : h("button", { type: "button", role: "menuitem", tabindex: "-1", on: { click: () => (close(), one.act()) } }, one.words));
  const filter = search && items.length > 10 ? h("input", { type: "search", placeholder: "Find…", "aria-label": "Find in this menu", on: { input: () => {
    const wanted = filter.value.toLowerCase();
    for (const row of rows) row.hidden = row.tagName === "BUTTON" && !row.textContent.toLowerCase().includes(wanted);
  } } }) : null;
  const list = h("div", { role: "menu", class: "items" }, rows);
  const menu = h("div", { class: "menu", on: { keydown: (e) => key(e) } }, filter, list);
  const shut = (event) => event.composedPath().includes(menu) || close();
  function close() {
    menu.remove();
    removeEventListener("pointerdown", shut, true);
    if (lab.closeMenu === close) lab.closeMenu = null;
    before?.focus?.({ preventScroll: true });
  }
  function key(event) {
    const shown = rows.filter((one) => one.tagName === "BUTTON" && !one.hidden), at = shown.indexOf(lab.root.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? shown.length - 1 : at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (to !== undefined) shown[(to + shown.length) % shown.length]?.focus();
    else if (event.key === "Enter" && filter === lab.root.activeElement) shown[0]?.click();
    else return void event.stopPropagation();
    event.preventDefault();
    event.stopPropagation();
  }
  lab.closeMenu = close;
  lab.element.append(menu);
  const bounds = lab.element.getBoundingClientRect(), size = menu.getBoundingClientRect();
  const left = Math.max(8, Math.min(box.left, innerWidth - size.width - 8)), top = box.bottom + size.height + 8 > innerHeight ? Math.max(8, box.top - size.height - 4) : box.bottom + 4;
  Object.assign(menu.style, { left: `${left - bounds.left}px`, top: `${top - bounds.top}px` });
  addEventListener("pointerdown", shut, true);
  (filter ?? rows.find((one) => one.tagName === "BUTTON"))?.focus();
}

export function openDialog(lab, title, inside, wide = false) {
  const before = lab.root.activeElement, heading = fresh("dialog");
  const dialog = h("dialog", { "aria-labelledby": heading, class: wide ? "wide" : "", on: { close: () => (dialog.remove(), before?.focus?.({ preventScroll: true })), keydown: (e) => e.stopPropagation() } });
  const close = () => dialog.close();
  dialog.append(h("h2", { id: heading }, title));
  for (const one of inside(close)) if (one) dialog.append(one);
  lab.element.append(dialog);
  dialog.showModal();
  return close;
}

export const closing = (close) => h("div", { class: "row" }, button("Close", close, { class: "main" }));
