// Starts the page: the views, the stream of events, the theme, the keyboard.

import * as api from "./api.js";
import { control } from "./control.js";
import { detail } from "./detail.js";
import { action, dialog, h, put, toast } from "./dom.js";
import { faults } from "./faults.js";
import { list } from "./list.js";
import { scenario } from "./scenario.js";
import { all, clear, note } from "./store.js";
import { tryIt } from "./tryit.js";
import { verdict } from "./verdict.js";
import { waterfall } from "./waterfall.js";

const VIEWS = [
  ["", "Exchanges", "e", "M4 6h16M4 12h16M4 18h10"],
  ["waterfall", "Waterfall", "w", "M4 6h9M8 12h10M12 18h8"],
  ["try", "Try it", "t", "M6 4l14 8-14 8z"],
  ["faults", "Faults", "f", "M13 3L5 14h6l-1 7 8-11h-6z"],
  ["scenario", "Scenario", "s", "M6 3h9l4 4v14H6zM9 12h7M9 16h7"],
  ["verdict", "Verdict", "v", "M12 3v18M7 21h10M5 7h14M5 7l-3 7h6zM19 7l-3 7h6z"],
  ["control", "Control", "c", "M5 8h14M5 16h14M9 5v6M15 13v6"],
];
const main = document.getElementById("main");
const known = { catalog: null, schema: null, bases: null };
let current = null;
let selected = null;
let resend = null;

const go = (path) => { location.hash = `#/${path}`; };

function exchanges(number) {
  const panel = h("div", { class: "split" });
  let open = null;
  const view = list({
    selected: () => selected,
    onSelect: (wanted) => go(`exchanges/${wanted}`),
    onClear: action(clearJournal),
  });
  const side = h("div", { class: "side" });
  panel.append(view.element, side);
  function show(wanted) {
    open?.stop();
    selected = wanted;
    panel.classList.toggle("has-detail", wanted !== null);
    open = wanted === null ? null : detail(wanted, { onBack: () => go(""), onResend: (exchange) => { resend = exchange; go("try"); } });
    put(side, open ? open.element : h("div", { class: "empty side-empty" }, h("div", { class: "empty-mark", "aria-hidden": "true" }, "∿"), h("p", {}, "Choose an exchange to see it frame by frame."), h("p", { class: "dim" }, h("kbd", {}, "j"), " ", h("kbd", {}, "k"), " move, ", h("kbd", {}, "/"), " filter, ", h("kbd", {}, "?"), " all keys")));
    view.refresh();
  }
  show(number);
  return { element: panel, show, move: view.move, focus: view.focus, stop: () => { open?.stop(); view.stop(); } };
}

async function clearJournal() {
  await api.remove("journal");
  clear();
  go("");
}

function make(name, number) {
  if (name === "waterfall") return waterfall({ onSelect: (wanted) => go(`exchanges/${wanted}`) });
  if (name === "try") {
    const filled = resend;
    resend = null;
    return tryIt({ providers: known.catalog.providers, bases: known.bases, resend: filled });
  }
  if (name === "faults") return faults({ families: known.catalog.families, schema: known.schema });
  if (name === "scenario") return scenario();
  if (name === "verdict") return verdict();
  if (name === "control") return control({ providers: known.catalog.providers, onCleared: clear });
  return exchanges(number);
}

function route() {
  const [name = "", rest] = location.hash.replace(/^#\/?/, "").split("/");
  const isList = name === "" || name === "exchanges";
  const number = isList && /^\d+$/.test(rest ?? "") ? Number(rest) : null;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === (isList ? "" : name)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS.find(([view]) => view === (isList ? "" : name))?.[1] ?? "Exchanges"} · LLM provider emulator`;
  if (isList && current?.show) {
    current.show(number);
    return;
  }
  current?.stop();
  selected = number;
  current = make(name, number);
  put(main, current.element);
  main.scrollTop = 0;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = (name) => { document.documentElement.dataset.theme = name; };
  apply(localStorage.getItem("emulator-theme") ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => localStorage.getItem("emulator-theme") || apply(dark.matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("emulator-theme", next);
    apply(next);
  });
}

function help() {
  const keys = [["j / k", "next, previous exchange"], ["/", "filter"], ["Esc", "back to the list"], ["d", "dark or light"],
    ...VIEWS.map(([, title, key]) => [`g ${key}`, title]), ["Ctrl Enter", "send, in Try it"], ["?", "this help"]];
  dialog("Keyboard", h("dl", { class: "keys" }, keys.map(([key, what]) => [h("dt", {}, key.split(" ").map((part) => (part === "/" && key !== "/" ? " / " : h("kbd", {}, part)))), h("dd", {}, what)])));
}

let isGoing = false;

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    else if (current?.show && selected !== null) go("");
    return;
  }
  if (isTyping) return;
  if (isGoing) {
    isGoing = false;
    const view = VIEWS.find(([, , key]) => key === event.key);
    if (view) go(view[0]);
    return;
  }
  const does = {
    g: () => { isGoing = true; setTimeout(() => { isGoing = false; }, 1200); },
    j: () => current?.move?.(1),
    k: () => current?.move?.(-1),
    "/": () => current?.focus?.(),
    "?": help,
    d: () => document.getElementById("theme").click(),
  }[event.key];
  if (does) {
    event.preventDefault();
    does();
  }
}

async function namespaces() {
  const select = document.getElementById("namespace");
  const names = new Set([(await api.get("namespaces")).namespaces.map((row) => row.name), api.namespace()].flat());
  put(select, [...names].map((name) => h("option", { value: name }, name)));
  select.value = api.namespace();
  select.addEventListener("change", () => {
    const url = new URL(location.href);
    url.searchParams.set("namespace", select.value);
    location.assign(url);
  });
}

function listen() {
  const live = document.getElementById("live");
  let wasLost = false;
  api.events((row) => note(row), (state) => {
    live.textContent = state === "live" ? "live" : "reconnecting";
    live.className = `live ${state}`;
    if (state === "live" && wasLost && all().length) {
      wasLost = false;
      api.get("journal").then((found) => {
        const newest = all()[0].number;
        if (!found.exchanges.some((row) => row.number === newest)) clear(); // another server, or a journal that moved on
        found.exchanges.forEach(note);
      }).catch(() => {});
    }
    if (state === "lost") wasLost = true;
  });
}

async function start() {
  theme();
  api.setUp();
  put(document.getElementById("nav"), VIEWS.map(([view, title, , path]) => h("a", { href: `#/${view}`, "data-view": view }, icon(path), h("span", {}, title))));
  document.getElementById("help").addEventListener("click", help);
  document.addEventListener("keydown", onKey);
  try {
    const [catalog, schema, bases] = await Promise.all([api.catalog(), api.get("schema.json"), api.get("providers")]);
    Object.assign(known, { catalog, schema, bases: pathsOf(bases.providers) });
  } catch (error) {
    const token = h("input", { type: "password", autocomplete: "off", "aria-label": "Token" });
    put(main, h("div", { class: "empty" }, h("h1", {}, error.status === 401 ? "This server requires a token" : "The page could not be loaded"), h("p", {}, error.message),
      error.status === 401 && h("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); location.assign(`?token=${encodeURIComponent(token.value)}${location.hash}`); } }, token, h("button", { type: "submit", class: "button primary" }, "Open"))));
    return;
  }
  window.addEventListener("hashchange", route);
  listen();
  route();
  namespaces().catch((error) => toast(error.message, "bad"));
}

/** Base URLs on this page's own origin, and in its own namespace. */
function pathsOf(urls) {
  const prefix = api.namespace() === "default" ? "" : `/@${api.namespace()}`;
  return Object.fromEntries(Object.entries(urls).map(([name, url]) => [name, location.origin + prefix + new URL(url).pathname.replace(/^\/@[^/]+/, "")]));
}

start();
