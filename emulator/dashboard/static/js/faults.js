// Every fault with its parameters, generated from the schema: apply one, watch it, remove it.

import * as api from "./api.js";
import { action, h, marked, put, toast } from "./dom.js";
import { subscribe } from "./store.js";
import { field } from "./tryit.js";

const COMMON = ["times", "probability", "skip"];

export function faults({ families, schema }) {
  const kinds = kindsOf(schema);
  const period = schema.$defs.Window;
  const armed = h("div", { class: "armed", role: "status" });
  const form = h("div", { class: "card fault-form" });
  const search = h("input", { type: "search", class: "search", placeholder: "Search faults …", "aria-label": "Search faults", oninput: () => draw() });
  const grid = h("div", { class: "fault-grid" });
  let chosen = null;

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (kind) => words.every((word) => `${kind} ${kinds[kind].effect} ${kinds[kind].tests}`.toLowerCase().includes(word));
    put(grid, Object.entries(families).map(([family, names]) => {
      const shown = names.filter((name) => kinds[name] && fits(name));
      return shown.length ? h("section", {}, h("h2", { class: "family" }, family.replaceAll("_", " ")), h("div", { class: "fault-cards" }, shown.map((name) =>
        h("button", { type: "button", class: "fault-card", "data-kind": name, "aria-pressed": String(name === chosen), onclick: () => choose(name) },
          h("b", {}, name), h("span", {}, marked(kinds[name].effect)))))) : null;
    }));
  }

  function choose(name) {
    chosen = name;
    draw();
    const kind = kinds[name];
    const inputs = {};
    const row = ([key, about]) => {
      inputs[key] = input(key, about);
      return field(key, inputs[key].element, about.description);
    };
    const windowInputs = {};
    const windowRow = ([key, about]) => {
      windowInputs[key] = input(`window.${key}`, about);
      return field(key, windowInputs[key].element, about.description);
    };
    const own = Object.entries(kind.properties).filter(([key]) => key !== "kind" && key !== "window" && !COMMON.includes(key));
    const common = COMMON.filter((key) => kind.properties[key]).map((key) => [key, kind.properties[key]]);
    put(form, h("h2", {}, `⚡ ${name}`), h("p", {}, marked(kind.effect)), kind.tests && h("p", { class: "dim" }, "Tests: ", marked(kind.tests)),
      h("form", { onsubmit: (event) => { event.preventDefault(); action(arm)(event); } },
        own.length > 0 && h("div", { class: "fields two" }, own.map(row)),
        h("div", { class: "fields three" }, common.map(row)),
        kind.properties.window && h("fieldset", { class: "fields two window" }, h("legend", {}, "window"), Object.entries(period.properties).map(windowRow)),
        h("div", { class: "actions" }, h("button", { type: "submit", class: "button primary", id: "arm" }, "Add"),
          h("button", { type: "button", class: "button", id: "arm-once", onclick: action(() => arm(1)) }, "Apply once"))));
    form.scrollTop = 0;
    if (matchMedia("(max-width: 899px)").matches) form.scrollIntoView({ block: "start", behavior: "smooth" });

    async function arm(times) {
      const fault = { kind: name, ...valuesOf(inputs) };
      const window = valuesOf(windowInputs);
      if (Object.keys(window).length) fault.window = window;
      if (times === 1) fault.times = 1;
      await api.post("faults", { fault });
      toast(`${name} added`);
      await load();
    }
  }

  async function load() {
    const rows = (await api.get("faults")).faults;
    put(armed, rows.length ? rows.map((row) => h("div", { class: "armed-row", "data-fault": row.kind },
      h("b", {}, `⚡ ${row.kind}`), h("code", {}, parametersOf(row.fault)),
      h("span", { class: "dim" }, `${row.applied} applied${row.times ? ` of ${row.times}` : ""}`),
      h("button", { type: "button", class: "button small", "aria-label": `Remove ${row.kind}`, onclick: action(async () => { await api.remove(`faults/${encodeURIComponent(row.id)}`); await load(); }) }, "Remove")))
      : h("p", { class: "dim" }, "No faults. Choose one below; it applies to the next requests of this namespace."),
    rows.length > 1 && h("button", { type: "button", class: "button small", onclick: action(async () => { await api.remove("faults"); await load(); }) }, "Remove all"));
  }

  put(form, h("p", { class: "empty" }, "Choose a fault to see what it does and its parameters."));
  draw();
  load().catch((error) => toast(error.message, "bad"));
  let timer = null;
  const stop = subscribe(() => { timer ??= setTimeout(() => { timer = null; load().catch(() => {}); }, 400); });
  const element = h("section", { class: "page" }, h("div", { class: "page-head" }, h("h1", {}, "Faults"),
    h("p", { class: "dim" }, "Break the next answers on purpose.")),
  h("section", { class: "card" }, h("h2", {}, "Armed now"), armed),
  h("div", { class: "fault-layout" }, h("div", {}, search, grid), form));
  return { element, stop: () => { stop(); clearTimeout(timer); } };
}

/** The values of the form. */
const valuesOf = (inputs) => Object.fromEntries(Object.entries(inputs).map(([key, given]) => [key, given.value()]).filter(([, value]) => value !== undefined));

const parametersOf = (fault) => Object.entries(fault).filter(([name]) => name !== "kind").map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");

/** The kinds of the schema by name. */
export function kindsOf(schema) {
  const kinds = {};
  for (const about of Object.values(schema.$defs)) {
    const kind = about.properties?.kind;
    const names = kind?.const ? [kind.const] : kind?.enum ?? []; // the first is its name, the others are old ones
    if (!names.length) continue;
    const [effect, tests] = (about.description ?? "").split(/\n\nTests: /);
    kinds[names[0]] = { effect, tests: tests ?? "", properties: about.properties };
  }
  return kinds;
}

/** The type of a parameter: the one that is not null. */
function shapeOf(about) {
  return about.anyOf?.find((each) => each.type && each.type !== "null") ?? about;
}

function input(name, about) {
  const shape = shapeOf(about);
  const fallback = about.default;
  if (shape.enum) {
    const element = h("select", {}, h("option", { value: "" }, fallback === undefined ? "–" : `${fallback} (default)`), shape.enum.map((value) => h("option", { value: JSON.stringify(value) }, String(value))));
    return { element, value: () => (element.value ? JSON.parse(element.value) : undefined) };
  }
  if (shape.type === "boolean") {
    const element = h("select", {}, h("option", { value: "" }, fallback === undefined ? "–" : `${fallback} (default)`), ["true", "false"].map((value) => h("option", { value }, value)));
    return { element, value: () => (element.value ? element.value === "true" : undefined) };
  }
  const isNumber = shape.type === "integer" || shape.type === "number";
  const shown = fallback === undefined || fallback === null ? "" : typeof fallback === "object" ? JSON.stringify(fallback) : String(fallback);
  const element = h("input", { placeholder: shown || (isNumber ? "not set" : ""), name, inputmode: isNumber ? "decimal" : null, autocomplete: "off" });
  const value = () => {
    const text = element.value.trim();
    if (!text) return undefined;
    if (isNumber) return Number.isFinite(Number(text)) ? Number(text) : text;
    if (shape.type === "string") return element.value;
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  };
  return { element, value };
}
