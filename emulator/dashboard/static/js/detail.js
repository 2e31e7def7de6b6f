// One exchange, opened.

import * as api from "./api.js";
import { action, copy, dialog, download, editor, h, put, toast } from "./dom.js";
import * as format from "./format.js";
import { find, subscribe } from "./store.js";
import { timeline } from "./timeline.js";

const VIEWS = ["Overview", "Request", "Response", "Raw bytes"];

export function detail(number, { onBack, onResend }) {
  const element = h("section", { class: "detail", "aria-label": `Exchange ${number}` }, h("p", { class: "empty" }, "Loading …"));
  let view = VIEWS[0];
  let exchange = null;
  let stopTimeline = () => {};
  let asked = 0;
  let isGone = false;

  async function load() {
    const mine = ++asked;
    const row = find(number);
    try {
      const found = await api.get(`journal/${number}`);
      if (mine !== asked || isGone) return;
      found.rowAtLoad = row;
      exchange = found;
      draw();
    } catch (error) {
      if (!exchange) put(element, back(onBack), h("p", { class: "empty" }, error.message));
    }
  }

  let drawnView = "";

  function draw() {
    stopTimeline();
    const scroll = view === drawnView ? element.querySelector(".detail-body")?.scrollTop ?? 0 : 0;
    drawnView = view;
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Parts of the exchange", onkeydown: (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      view = VIEWS[(VIEWS.indexOf(view) + by + VIEWS.length) % VIEWS.length];
      draw();
      element.querySelector("[role=tab][aria-selected=true]").focus();
    } }, VIEWS.map((name) => h("button", {
      type: "button", role: "tab", id: `tab-${name.split(" ")[0].toLowerCase()}`, "aria-controls": "detail-panel", "aria-selected": String(name === view), tabindex: name === view ? "0" : "-1",
      onclick: () => { view = name; draw(); },
    }, name)));
    const body = { Overview: overview, Request: requested, Response: answered, "Raw bytes": raw }[view](exchange);
    stopTimeline = body.stop ?? (() => {});
    put(element, head(exchange, onBack, onResend), tabs,
      h("div", { class: "detail-body", role: "tabpanel", id: "detail-panel", tabindex: "0", "aria-labelledby": `tab-${view.split(" ")[0].toLowerCase()}` }, body.elements));
    element.querySelector(".detail-body").scrollTop = scroll;
    if (focused) document.getElementById(focused)?.focus();
  }

  const stop = subscribe(() => {
    const row = find(number);
    if (row && exchange && exchange.ended === null && row !== exchange.rowAtLoad) load();
  });
  load();
  return { element, stop: () => { isGone = true; stop(); stopTimeline(); } };
}

const back = (onBack) => h("button", { type: "button", class: "button small back", onclick: onBack }, "← List");

function head(exchange, onBack, onResend) {
  const menu = h("div", { class: "actions" },
    h("button", { type: "button", class: "button small", onclick: () => onResend(exchange) }, "Edit & resend"),
    exchange.provider && h("button", { type: "button", class: "button small", onclick: () => saveAsRule(exchange) }, "Save as rule"),
    h("button", { type: "button", class: "button small", onclick: action(async () => copy(await exported("curl", exchange), "curl command copied")) }, "Copy curl"),
    h("button", { type: "button", class: "button small", onclick: action(async () => download(`exchange-${exchange.number}.har`, await exported("har", exchange), "application/json")) }, "HAR"));
  return h("div", { class: "detail-head" }, back(onBack),
    h("div", { class: "detail-title" },
      h("span", { class: `status-pill ${format.mood(exchange)}` }, exchange.status || "open"),
      h("h1", {}, h("span", { class: "method" }, exchange.method), " ", exchange.path),
    ),
    h("p", { class: "dim" },
      h("span", { class: "provider", style: { "--hue": format.hue(exchange.provider) } }, exchange.provider ?? "no provider"),
      ` #${exchange.number} · ${format.clock(exchange.received)} · attempt ${exchange.attempt}${exchange.connection ? ` · connection ${exchange.connection}` : ""}${exchange.retry_count ? ` · SDK retry ${exchange.retry_count}` : ""}`),
    menu);
}

async function exported(kind, exchange) {
  const found = await api.text("journal/export", { format: kind, since: exchange.number - 1 });
  if (kind === "har") {
    const har = typeof found === "string" ? JSON.parse(found) : found;
    har.log.entries = har.log.entries.slice(0, 1);
    return JSON.stringify(har, null, 2);
  }
  const lines = found.split(`\n# ${exchange.number + 1}: `)[0].split("\n");
  return lines.filter((line) => !line.startsWith("#!") && !line.startsWith(`# ${exchange.number}: `)).join("\n").trim();
}

function tile(name, value, note) {
  return h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value, note && h("small", {}, ` ${note}`)));
}

function overview(exchange) {
  const usage = exchange.usage;
  const streaming = (exchange.last_sent ?? 0) - (exchange.first_sent ?? 0);
  const tiles = h("dl", { class: "tiles" },
    tile("Model", exchange.model || "–"),
    tile("Ended", exchange.ended === null ? "streaming …" : format.endings[exchange.ended] ?? exchange.ended),
    tile("TTFT", format.seconds(exchange.first_sent)),
    tile("Duration", format.seconds(exchange.last_sent)),
    usage && tile("Tokens", format.number(usage.total), `${format.number(usage.prompt)} in · ${format.number(usage.completion)} out`),
    usage && exchange.stream && streaming > 0.05 && tile("Rate", `${Math.round(usage.completion / streaming)}/s`),
    tile("Cost", format.money(exchange.cost)),
    tile("Sent", format.bytes(exchange.bytes_sent), `${format.number(exchange.frames_sent)} ${exchange.frames_sent === 1 ? "frame" : "frames"}`));
  const elements = [tiles];
  let stop;
  if (exchange.frames.length) {
    const drawn = timeline(exchange);
    stop = drawn.stop;
    elements.push(card(exchange.stream ? "Timeline of the stream" : "Timeline", drawn.element));
  }
  elements.push(faultsOf(exchange), notesOf(exchange), said(exchange), because(exchange));
  return { elements, stop };
}

export const card = (title, ...children) => h("section", { class: "card" }, title && h("h2", {}, title), children);

function faultsOf(exchange) {
  if (!exchange.faults.length) return null;
  return card("Faults", h("ul", { class: "plain" },
    exchange.applied.map((fault) => h("li", { class: "bad-line" }, h("b", {}, "⚡ applied "), fault)),
    exchange.skipped.map((row) => h("li", {}, h("b", {}, "skipped "), `${row.fault}: ${row.reason}`))));
}

function notesOf(exchange) {
  const lines = [...exchange.notes, ...(exchange.ignored.length ? [`This provider ignores: ${exchange.ignored.join(", ")}`] : [])];
  if (exchange.message) lines.unshift(exchange.message);
  return lines.length ? card("Notes", h("ul", { class: "plain" }, lines.map((line) => h("li", {}, line)))) : null;
}

function said(exchange) {
  const { text, content, reasoning } = exchange.response;
  const question = lastQuestion(exchange);
  const isSaid = exchange.outcome === "reply" || exchange.outcome === "generated";
  return card("Conversation",
    question && h("div", { class: "bubble user" }, h("span", { class: "who" }, "client"), h("p", {}, question)),
    reasoning && h("details", { class: "bubble thought", open: true }, h("summary", {}, "reasoning"), h("p", {}, reasoning)),
    h("div", { class: `bubble ${isSaid ? "answer" : "refusal"}` }, h("span", { class: "who" }, isSaid ? "answer" : exchange.outcome),
      h("p", {}, (isSaid ? content || (reasoning ? "" : format.pretty(text)) : format.pretty(text)) || (exchange.ended === null ? "…" : "No messages."))));
}

const textOf = (content) => typeof content === "string" ? content
  : Array.isArray(content) ? content.map((part) => part.text ?? "").join("") : "";

export function lastQuestion(exchange) {
  const messages = exchange.request.messages;
  const last = [...messages].reverse().find((message) => message.role === "user" || !message.role);
  if (last) return textOf(last.content ?? last.parts);
  try {
    const body = JSON.parse(exchange.request.body);
    return [body.prompt, body.input].find((value) => typeof value === "string") ?? "";
  } catch {
    return "";
  }
}

function because(exchange) {
  const rows = [...(exchange.because ?? [])].reverse();
  const answer = exchange.rule ? `Rule ${exchange.rule} answered.` : exchange.outcome === "generated" ? "No rule matched, so the answer was generated." : null;
  if (!rows.length && !exchange.misses.length && !answer) return null;
  return card("Because", answer && h("p", {}, answer),
    rows.map((row) => h("details", { class: `rule ${row.matched ? "hit" : "miss"}`, open: row.matched || rows.length < 4 },
      h("summary", {}, h("span", { class: "verdict" }, row.matched ? "✓ matched" : "✗ missed"), ` ${row.rule} `, h("small", { class: "dim" }, row.origin)),
      h("ul", { class: "conditions" }, row.conditions.map((condition) => h("li", { class: condition.holds ? "holds" : "fails" },
        h("span", { class: "mark" }, condition.holds ? "✓" : "✗"),
        h("span", {}, h("code", {}, `${condition.condition}: ${JSON.stringify(condition.wanted)}`), condition.reason && h("span", { class: "reason" }, condition.reason))))))),
    !rows.length && h("ul", { class: "conditions" }, exchange.misses.map((miss) => h("li", { class: "fails" }, h("span", { class: "mark" }, "✗"), h("span", {}, miss)))));
}

function headers(found) {
  return h("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Headers" }, h("table", {}, h("tbody", {}, Object.entries(found).map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value))))));
}

const code = (text, label) => h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": label }, text);
const cut = (part) => part.truncated && h("p", { class: "dim" }, `Only the beginning of ${format.bytes(part.size)} is kept.`);

function requested(exchange) {
  const { request } = exchange;
  return { elements: [
    card("URL", code(`${exchange.method} ${exchange.url}`, "URL")),
    card("Headers", headers(request.headers)),
    card(`Body, ${format.bytes(request.size)}`, h("button", { type: "button", class: "button small corner", onclick: () => copy(request.body) }, "Copy"), code(format.pretty(request.body) || "(empty)", "Body of the request"), cut(request)),
  ] };
}

function answered(exchange) {
  const { response } = exchange;
  return { elements: [card(`Headers, ${response.status}`, headers(response.headers)),
    card(`Body, ${format.bytes(response.size)}`, h("button", { type: "button", class: "button small corner", onclick: () => copy(response.text) }, "Copy"), code(format.pretty(response.text) || "(nothing)", "Body of the response"), cut(response))] };
}

/** The bytes as they were sent, line by line, with the time of each frame. */
function raw(exchange) {
  const { response } = exchange;
  const encoder = new TextEncoder();
  const pieces = [];
  let rest = encoder.encode(response.text);
  for (const frame of exchange.frames.slice(0, 400)) {
    if (!rest.length || frame.sent === null) break;
    pieces.push([frame, new TextDecoder().decode(rest.subarray(0, frame.bytes))]);
    rest = rest.subarray(frame.bytes);
  }
  if (rest.length) pieces.push([null, new TextDecoder().decode(rest)]);
  return { elements: [card(`As sent, ${format.bytes(response.size)}`,
    h("button", { type: "button", class: "button small corner", onclick: () => copy(response.text) }, "Copy"),
    h("div", { class: "frames", tabindex: "0", role: "region", "aria-label": "Bytes of the response" }, pieces.map(([frame, text]) => h("div", { class: "frame" },
      h("span", { class: "frame-time" }, frame ? `+${format.seconds(frame.sent)}` : "rest"),
      h("pre", {}, visible(text))))), cut(response))] };
}

const SIGNS = { "\r": "\\r", "\n": "↵", "\t": "⇥", "\ufeff": "BOM", "\0": "\\0" };

/** Line ends and other invisible characters, made visible. */
function visible(text) {
  return text.split(/([\r\n\t\ufeff\0])/).map((part, index, parts) => {
    if (!Object.hasOwn(SIGNS, part)) return part;
    const isLast = parts.slice(index + 1).every((rest) => rest === "");
    return [h("span", { class: "sign" }, SIGNS[part]), part === "\n" && !isLast ? "\n" : ""];
  });
}

const raised = (text) => (/\{[{%#]/.test(text) ? `{% raw %}${text}{% endraw %}` : text);

/** A rule that would give the same answer again. */
export function ruleOf(exchange) {
  const question = lastQuestion(exchange);
  const rule = { name: `saved-${exchange.number}`, match: { provider: [exchange.provider] } };
  if (exchange.model) rule.match.model = [exchange.model];
  if (question) rule.match.prompt = { equals: question };
  if (exchange.outcome === "error") {
    rule.error = { status: exchange.status, ...(exchange.message ? { message: exchange.message } : {}) };
  } else {
    rule.reply = { content: raised(exchange.response.content) };
    if (exchange.response.reasoning) rule.reply.reasoning = raised(exchange.response.reasoning);
  }
  return rule;
}

function saveAsRule(exchange) {
  const area = editor({ rows: "16", "aria-label": "Rule as JSON", id: "rule-text", value: JSON.stringify(ruleOf(exchange), null, 2) });
  const problems = h("div", { class: "problems", role: "alert" });
  const save = h("button", { type: "button", class: "button primary", id: "rule-save", onclick: action(async () => {
    let rule;
    try {
      rule = JSON.parse(area.value);
    } catch (error) {
      put(problems, h("p", {}, `Not valid JSON: ${error.message}`));
      return;
    }
    try {
      const made = await api.post("rules", rule);
      box.close();
      toast(`Rule ${made.name ?? rule.name} answers from now on`);
    } catch (error) {
      put(problems, (error.problems?.length ? error.problems : [{ message: error.message }]).map((each) => h("p", {}, each.message)));
    }
  }) }, "Save rule");
  const box = dialog("Save as rule",
    h("p", { class: "dim" }, "It is tried before all rules of the scenario until it is removed or the scenario is replaced."),
    area, problems, h("div", { class: "actions" }, save,
      h("button", { type: "button", class: "button", onclick: () => copy(area.value, "Rule copied") }, "Copy"),
      h("button", { type: "button", class: "button", onclick: () => download(`rule-${exchange.number}.json`, JSON.stringify({ version: 1, rules: [JSON.parse(area.value)] }, null, 2), "application/json") }, "Download as scenario")));
}
