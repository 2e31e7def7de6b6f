// Builds elements. Everything from outside becomes a text node: no string is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name === "checked") element.checked = value;
    else if (name === "style") for (const [key, item] of Object.entries(value)) element.style.setProperty(key, item);
    else element.setAttribute(name === "class_" ? "class" : name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
}

/** An HTML element: h("p", {class: "note"}, "text", child). */
export const h = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

/** An SVG element. */
export const s = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

/** Replace all children. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

let toastTimer;

/** Shows a message for a few seconds. */
export function toast(text, kind = "ok") {
  const box = document.getElementById("toasts");
  put(box, h("div", { class: `toast ${kind}` }, text));
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => box.replaceChildren(), kind === "bad" ? 9000 : 4000);
}

/** An action's error stays in its card until another action succeeds. */
function explain(card, text) {
  card?.querySelector(":scope > .why-not")?.remove();
  if (text) card?.append(h("p", { class: "problems why-not" }, text));
}

/** Runs the action of a button or a form, and shows why it failed. */
export function action(what) {
  return async (event) => {
    const button = event?.currentTarget;
    const card = button?.closest?.(".card");
    if (button instanceof HTMLButtonElement) button.disabled = true;
    try {
      await what(event);
      explain(card);
    } catch (error) {
      toast(error.message, "bad");
      explain(card, error.message);
    } finally {
      if (button instanceof HTMLButtonElement) button.disabled = false;
    }
  };
}

export async function copy(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "visually-hidden", value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast(what);
}

export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** A modal dialog; it closes by Escape and by its button. */
export function dialog(title, ...children) {
  const box = h(
    "dialog",
    { class: "dialog", "aria-label": title },
    h("div", { class: "dialog-head" }, h("h2", {}, title),
      h("button", { type: "button", class: "icon-button", "aria-label": "Close", onclick: () => box.close() }, "✕")),
    h("div", { class: "dialog-body" }, children),
  );
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => event.target === box && box.close());
  document.body.append(box);
  box.showModal();
  return box;
}

/** A text area for code in which Tab indents, and Escape lets Tab leave again. */
export function editor(attributes) {
  let leaves = false;
  return h("textarea", {
    class: "code-input", spellcheck: "false", autocapitalize: "off", autocomplete: "off", ...attributes,
    onkeydown: (event) => {
      if (event.key === "Escape") leaves = true;
      else if (event.key === "Tab" && !event.shiftKey && !leaves) {
        event.preventDefault();
        const area = event.target;
        area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
        area.dispatchEvent(new Event("input"));
      } else leaves = false;
    },
  });
}

/** A sentence in which words between backticks are code. */
export const marked = (text) => text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
