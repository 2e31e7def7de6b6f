// Sends a prompt to any operation of any provider, and shows reasoning and answer as they stream in.

import * as api from "./api.js";
import { action, copy, editor, h, marked, put } from "./dom.js";
import * as format from "./format.js";
import { eventReader, piece, whole } from "./said.js";
import * as snippets from "./snippets.js";

const BODIES = {
  chat_completions: (prompt, model, stream) => ({ ...(model ? { model } : {}), messages: [{ role: "user", content: prompt }], stream }),
  gap: (prompt, model, stream) => ({ model, prompt, stream }),
  messages: (prompt, model, stream) => ({ model, max_tokens: 1024, messages: [{ role: "user", content: prompt }], stream }),
  responses: (prompt, model, stream) => ({ model, input: prompt, stream }),
  generate_content: (prompt, model, stream, name) => ({
    contents: [{ role: "user", parts: [{ text: prompt }] }],
    ...(name.endsWith("generate_content") ? { generationConfig: { thinkingConfig: { includeThoughts: true } } } : {}),
  }),
  embed_content: (prompt, model, stream, name) => {
    const one = { content: { parts: [{ text: prompt }] } };
    return name.startsWith("batch") ? { requests: [one] } : one;
  },
  embeddings: (prompt, model) => ({ model, input: prompt }),
  moderations: (prompt) => ({ input: prompt }),
};
const REDACTED = "[redacted]";
const kept = { provider: "", operation: 0, prompt: "Explain TCP slow start in three short paragraphs.", stream: true };

export function tryIt({ providers, bases, resend, onSelect }) {
  const names = Object.keys(bases).filter((name) => providers[name]);
  if (!providers[kept.provider]) kept.provider = names[names.length - 1];
  let controller = null;
  const option = (value, text) => h("option", { value }, text);
  const provider = h("select", { id: "try-provider", onchange: () => { kept.provider = provider.value; kept.operation = 0; operations(); compose(); } }, names.map((name) => option(name, providers[name].title)));
  const operation = h("select", { id: "try-operation", onchange: () => { kept.operation = Number(operation.value); compose(); } });
  const prompt = h("textarea", { id: "try-prompt", rows: "3", value: kept.prompt, oninput: () => { kept.prompt = prompt.value; compose(); } });
  const stream = h("input", { type: "checkbox", id: "try-stream", checked: kept.stream, onchange: () => { kept.stream = stream.checked; compose(); } });
  const path = h("input", { id: "try-path", class: "mono", spellcheck: "false", oninput: () => lines() });
  const headers = editor({ id: "try-headers", rows: "2", oninput: () => lines() });
  const body = editor({ id: "try-body", rows: "8", oninput: () => lines() });
  const send = h("button", { type: "submit", class: "button primary", id: "try-send" }, "Send");
  const halt = h("button", { type: "button", class: "button", hidden: true, onclick: () => controller?.abort() }, "Stop");
  const output = h("div", { class: "output", "aria-live": "off" }, h("p", { class: "empty" }, "The answer streams in here."));
  const status = h("p", { class: "try-status dim", role: "status" });
  const code = h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "Code to paste" });
  let language = "curl";
  const languages = h("div", { class: "segmented", role: "group", "aria-label": "Language" }, ["curl", "python", "node"].map((name) =>
    h("button", { type: "button", "aria-pressed": String(name === language), onclick: (event) => {
      language = name;
      for (const other of languages.children) other.setAttribute("aria-pressed", String(other === event.currentTarget));
      lines();
    } }, { curl: "curl", python: "Python", node: "Node" }[name])));

  function operations() {
    const rows = providers[provider.value].operations;
    put(operation, rows.map((row, index) => option(String(index), `${row.method} ${row.path}`)));
    operation.value = String(Math.min(kept.operation, rows.length - 1));
  }

  function compose() {
    const about = providers[provider.value];
    const row = about.operations[Number(operation.value)];
    path.value = new URL(bases[provider.value]).pathname.replace(/\/$/, "") + row.path;
    headers.value = [row.method === "POST" ? "content-type: application/json" : "", about.auth, ...about.headers].filter(Boolean).join("\n");
    const make = BODIES[row.dialect] ?? BODIES.chat_completions;
    body.value = row.method === "POST" ? JSON.stringify(make(prompt.value, about.model, stream.checked, row.name), null, 2) : "";
    body.dataset.method = row.method;
    lines();
  }

  function request() {
    const sent = {};
    for (const line of headers.value.split("\n")) {
      const at = line.indexOf(":");
      if (at > 0) sent[line.slice(0, at).trim()] = line.slice(at + 1).trim();
    }
    const authorization = Object.entries(sent).find(([name]) => name.toLowerCase() === "authorization")?.[1] ?? "";
    return { method: body.dataset.method, url: new URL(path.value, location.origin).href, headers: sent, body: body.value.trim(), authorization };
  }

  const lines = () => { code.textContent = snippets[language](request()); };

  async function run() {
    const wanted = request();
    if (new URL(wanted.url).origin !== location.origin) throw new Error("The path must start with a slash: requests go to this server only.");
    controller?.abort();
    controller = new AbortController();
    const started = performance.now();
    const view = answerView(output);
    status.textContent = "waiting for the first byte …";
    halt.hidden = false;
    try {
      const response = await fetch(wanted.url, { method: wanted.method, headers: wanted.headers, body: wanted.method === "GET" ? undefined : wanted.body, signal: controller.signal });
      const ttft = (performance.now() - started) / 1000;
      const report = (end) => { status.textContent = `${response.status} · first byte after ${format.seconds(ttft)} · ${end} ${format.seconds((performance.now() - started) / 1000)}`; };
      report("so far");
      await consume(response, view, report);
      report("done after");
    } catch (error) {
      view.add({ error: error.name === "AbortError" ? "Stopped." : `The connection failed: ${error.message}. A client would see the same.` });
      status.textContent = `ended after ${format.seconds((performance.now() - started) / 1000)}`;
    } finally {
      halt.hidden = true;
    }
  }

  const form = h("form", { class: "card try-form", onsubmit: (event) => { event.preventDefault(); action(run)(event); } },
    h("div", { class: "fields two" }, field("Provider", provider), field("Operation", operation)),
    field("Prompt", prompt),
    h("details", { class: "advanced", open: Boolean(resend) }, h("summary", {}, "Path, headers and body"),
      field("Path", path), field("Headers", headers), field("Body", body)),
    h("div", { class: "actions" }, send, halt, h("label", { class: "check" }, stream, "stream")));
  operations();
  provider.value = kept.provider;
  operations();
  compose();
  if (resend) fillFrom(resend, { path, headers, body, providers, provider });
  lines();
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  const element = h("section", { class: "page" },
    h("div", { class: "page-head" }, h("h1", {}, resend ? `Edit and resend #${resend.number}` : "Try it"),
      h("p", { class: "dim" }, "Sends a real request to this server, so scenario, pace and faults apply. It appears in the journal.")),
    h("div", { class: "try-grid" }, form,
      h("section", { class: "card answer-card" }, h("h2", {}, "Answer"), status, output),
      h("section", { class: "card code-card" }, h("h2", {}, "The same in code"), languages,
        h("button", { type: "button", class: "button small corner", onclick: () => copy(code.textContent) }, "Copy"), code)));
  return { element, stop: () => controller?.abort() };
}

export const field = (name, input, help) => h("label", { class: "field" }, h("span", { class: "label" }, name), input, help && h("small", { class: "dim" }, marked(help)));

function fillFrom(exchange, parts) {
  const url = new URL(exchange.url);
  parts.path.value = url.pathname + url.search;
  if (parts.providers[exchange.provider] && exchange.provider in parts.providers) parts.provider.value = exchange.provider;
  const skipped = new Set(["host", "content-length", "connection", "accept-encoding", "user-agent", "origin", "referer", "transfer-encoding"]);
  const auth = parts.providers[exchange.provider]?.auth ?? "Authorization: Bearer sk-any";
  const rows = Object.entries(exchange.request.headers).filter(([name]) => !skipped.has(name) && !name.startsWith("sec-"));
  parts.headers.value = rows.map(([name, value]) => (value.includes(REDACTED) ? auth : `${name}: ${value}`)).join("\n");
  parts.body.value = format.pretty(exchange.request.body);
  parts.body.dataset.method = exchange.method;
}

function answerView(output) {
  const reasoning = h("p", {});
  const thought = h("details", { class: "bubble thought", open: true, hidden: true }, h("summary", {}, "reasoning"), reasoning);
  const text = h("p", { id: "try-answer" });
  const tools = h("pre", { class: "code", hidden: true });
  const failed = h("p", { class: "problems", hidden: true });
  put(output, thought, h("div", { class: "bubble answer" }, text), tools, failed);
  return {
    add(part) {
      if (part.reasoning) { thought.hidden = false; reasoning.append(part.reasoning); }
      if (part.text) text.append(part.text);
      if (part.tools) { tools.hidden = false; tools.append(part.tools); }
      if (part.error) { failed.hidden = false; failed.append(`${part.error}\n`); }
      output.scrollTop = output.scrollHeight;
    },
  };
}

async function consume(response, view, report) {
  const kind = response.headers.get("content-type") ?? "";
  if (!kind.includes("event-stream")) {
    const text = await response.text();
    try {
      view.add(whole(JSON.parse(text)));
    } catch {
      view.add({ error: `The answer is not valid JSON (${kind || "no content type"}):\n${text.slice(0, 4000)}` });
    }
    return;
  }
  const read = eventReader((data) => view.add(piece(data)));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    read(value);
    report("so far");
  }
}
