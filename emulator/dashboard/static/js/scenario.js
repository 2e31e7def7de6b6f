// The rules, and the scenario as text: edit it, and see errors at their positions.

import * as api from "./api.js";
import { action, editor, h, put, toast } from "./dom.js";
import * as format from "./format.js";

const draft = { text: null, kind: "json" };

export function scenario() {
  const area = editor({ id: "scenario-text", rows: "26", "aria-label": "Scenario", wrap: "off" });
  const gutter = h("pre", { class: "gutter", "aria-hidden": "true" });
  const problems = h("div", { class: "problems", role: "alert" });
  const rules = h("div", {});
  const kind = h("select", { "aria-label": "Format" }, h("option", { value: "json" }, "JSON"), h("option", { value: "yaml" }, "YAML"));
  const marked = new Set();
  area.addEventListener("input", () => { marked.clear(); keep(); number(); });
  kind.addEventListener("change", keep);
  area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });

  function number() {
    const count = area.value.split("\n").length;
    put(gutter, Array.from({ length: count }, (_, index) => h("span", { class: marked.has(index + 1) ? "at-fault" : "" }, `${index + 1}\n`)));
    gutter.scrollTop = area.scrollTop;
  }

  /** Keeps the edited text while another view is open. */
  function keep() {
    draft.text = area.value;
    draft.kind = kind.value;
  }

  async function load() {
    const found = draft.text ?? JSON.stringify(await api.get("scenario"), null, 2);
    kind.value = draft.kind;
    area.value = found;
    marked.clear();
    put(problems);
    number();
    await loadRules();
  }

  function forget() {
    draft.text = null;
    draft.kind = "json";
  }

  async function loadRules() {
    const rows = (await api.get("rules")).rules;
    put(rules, rows.length ? rows.map((row) => h("div", { class: `rule-row ${row.added ? "added" : ""}` },
      h("div", {}, h("b", {}, row.name), row.added && h("span", { class: "chip static" }, "added here"), h("small", { class: "dim" }, summary(row.rule))),
      h("span", { class: "dim" }, `${format.number(row.used)}×`),
      row.added && row.id && h("button", { type: "button", class: "button small", "aria-label": `Remove ${row.name}`, onclick: action(async () => { await api.remove(`rules/${encodeURIComponent(row.id)}`); await loadRules(); }) }, "Remove")))
      : h("p", { class: "dim" }, "No rules: every answer is generated."));
  }

  async function apply() {
    if (kind.value === "json" && !/^\s*[{[]/.test(area.value)) kind.value = "yaml"; // it was pasted
    try {
      const done = await api.put("scenario", { text: area.value, format: kind.value });
      marked.clear();
      forget();
      put(problems);
      toast(`Scenario ${done.name ?? ""} is active`);
      await loadRules();
    } catch (error) {
      const rows = error.problems?.length ? error.problems : [{ line: 0, column: 0, message: error.message }];
      marked.clear();
      for (const row of rows) if (row.line) marked.add(row.line);
      put(problems, rows.map((row) => h("button", { type: "button", class: "problem", onclick: () => goTo(row.line, row.column) },
        row.line > 0 && h("b", {}, `${row.line}:${row.column} `), row.message)));
    }
    number();
  }

  function goTo(line, column) {
    if (!line) return;
    const lines = area.value.split("\n");
    const at = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + Math.max(0, column - 1);
    area.focus();
    area.setSelectionRange(at, at + Math.max(1, (lines[line - 1] ?? "").length - column + 1));
    area.scrollTop = Math.max(0, (line - 5) * parseFloat(getComputedStyle(area).lineHeight));
  }

  load().catch((error) => toast(error.message, "bad"));
  const element = h("section", { class: "page" }, h("div", { class: "page-head" }, h("h1", {}, "Scenario"),
    h("p", { class: "dim" }, "A change applies to the next request of this namespace. An invalid scenario changes nothing.")),
  h("div", { class: "scenario-grid" },
    h("section", { class: "card" }, h("div", { class: "editor" }, gutter, area), problems,
      h("div", { class: "actions" }, h("button", { type: "button", class: "button primary", id: "scenario-apply", onclick: action(apply) }, "Validate and apply"),
        h("button", { type: "button", class: "button", onclick: action(async () => { forget(); await load(); }) }, "Revert"), kind)),
    h("section", { class: "card" }, h("h2", {}, "Rules in order"), rules)));
  return { element, stop: () => {} };
}

/** Formats a condition: `contains “weather”`, `a or b`. */
function inWords(value) {
  if (typeof value === "string") return `“${value}”`;
  if (Array.isArray(value)) return value.map(inWords).join(" or ");
  if (value && typeof value === "object") return Object.entries(value).map(([name, item]) => `${name} ${inWords(item)}`).join(" and ");
  return String(value);
}

function summary(rule) {
  const match = Object.entries(rule.match ?? {}).map(([name, value]) => `${name} ${inWords(value)}`).join(", ");
  const said = rule.error !== undefined && rule.error !== null ? "an error" : rule.replies ? `${rule.replies.length} replies in turn` : "a reply";
  return `${match || "every request"} → ${said}`;
}
