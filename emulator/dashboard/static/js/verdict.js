// What the journal shows about the client: a card for each finding, with its exchanges, the rule and the fix.

import * as api from "./api.js";
import { h, put, toast } from "./dom.js";
import { card } from "./detail.js";
import { subscribe } from "./store.js";

const PAUSE = 1000;
const MAX_LINKS = 12;

export function verdict() {
  const summary = h("p", { class: "dim", role: "status" }, "…");
  const cards = h("div", { class: "verdict-cards" });
  let timer = null;
  let shown = "";

  async function load() {
    timer = null;
    const found = await api.get("verdict");
    const text = JSON.stringify(found);
    if (text === shown) return;
    shown = text;
    const musts = found.findings.filter((finding) => finding.severity === "MUST").length;
    const counts = [[musts, "MUST"], [found.findings.length - musts, "SHOULD"], [found.unknown.length, "unknown"]].filter(([count]) => count);
    put(summary, counts.length ? counts.map(([count, name]) => `${count} ${name}`).join(", ") : "No findings about the client so far.");
    put(cards, found.findings.length === 0 && found.unknown.length === 0
      ? h("div", { class: "empty" }, h("div", { class: "empty-mark", "aria-hidden": "true" }, "✓"), h("p", {}, "Mistakes of the client appear here as soon as its requests show them."))
      : [found.findings.map(findingCard), found.unknown.length > 0 && unknownCard(found.unknown)]);
  }

  const soon = () => { timer ??= setTimeout(() => load().catch((error) => toast(error.message, "bad")), PAUSE); };
  const stop = subscribe(soon);
  load().catch((error) => toast(error.message, "bad"));
  const element = h("section", { class: "page" }, h("div", { class: "page-head" }, h("h1", {}, "Verdict"), summary), cards);
  return { element, stop: () => { stop(); clearTimeout(timer); } };
}

function findingCard(finding) {
  const kind = finding.severity === "MUST" ? "bad" : "warn";
  return card(h("span", {}, h("span", { class: `severity ${kind}` }, finding.severity), " ", h("code", {}, finding.code)),
    h("p", {}, finding.explanation), h("p", { class: "fix" }, h("strong", {}, "Fix: "), finding.fix), links(finding.exchanges));
}

function unknownCard(rows) {
  return card("Unknown", h("p", { class: "dim" }, "The journal can't know these. This would decide them:"),
    h("dl", { class: "unknown" }, rows.map((row) => [h("dt", {}, h("code", {}, row.code), " ", links(row.exchanges)), h("dd", {}, row.needs)])));
}

function links(numbers) {
  const more = numbers.length - MAX_LINKS;
  return h("span", { class: "exchange-links" }, numbers.slice(0, MAX_LINKS).map((number) => [h("a", { href: `#/exchanges/${number}` }, `#${number}`), " "]), more > 0 && `and ${more} more`);
}
