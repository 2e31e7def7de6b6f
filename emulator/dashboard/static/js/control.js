// The server's settings: clock, accounts, namespaces, and resets.

import * as api from "./api.js";
import { action, download, h, put, toast } from "./dom.js";
import { card } from "./detail.js";
import * as format from "./format.js";
import { field } from "./tryit.js";

export function control({ providers, onCleared }) {
  const parts = { clock: h("div", {}), accounts: h("div", {}), speed: h("div", {}), timing: h("dl", { class: "tiles" }) };
  let timer = null;

  async function clock() {
    const found = await api.get("clock");
    const tick = h("output", { class: "big-time" });
    const at = performance.now();
    const show = () => { tick.textContent = new Date((found.now + (found.mode === "real" ? (performance.now() - at) / 1000 : 0)) * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC"; };
    show();
    clearInterval(timer);
    if (found.mode === "real") timer = setInterval(show, 1000);
    const modes = h("div", { class: "segmented", role: "group", "aria-label": "Clock" }, ["real", "virtual", "manual"].map((mode) =>
      h("button", { type: "button", "aria-pressed": String(mode === found.mode), onclick: action(async () => { await api.put("clock", { mode }); await clock(); }) }, mode)));
    const amount = h("input", { value: "60", inputmode: "decimal", "aria-label": "Seconds to advance" });
    put(parts.clock, tick, modes, h("p", { class: "dim" }, { real: "Time passes as usual.", virtual: "Time skips ahead whenever everything is waiting: answers arrive at once, with their planned times.", manual: "Time moves only when you advance it." }[found.mode]),
      found.mode !== "real" && h("form", { class: "inline", onsubmit: (event) => { event.preventDefault(); action(async () => { await api.post("clock/advance", { seconds: Number(amount.value) }); await clock(); })(event); } },
        amount, h("button", { type: "submit", class: "button" }, "Advance seconds")));
  }

  async function speed() {
    const found = (await api.get("speed")).speed;
    const steps = [[0.25, "¼×"], [0.5, "½×"], [1, "1×"], [2, "2×"], [5, "5×"], [20, "20×"], [null, "at once"]];
    put(parts.speed, h("div", { class: "segmented", role: "group", "aria-label": "Speed" }, steps.map(([value, name]) =>
      h("button", { type: "button", "aria-pressed": String(value === found), onclick: action(async () => { await api.put("speed", { speed: value }); await speed(); }) }, name))),
    h("p", { class: "dim" }, "Multiplies the pace of every answer of the whole server, from the next one on."));
  }

  async function accounts() {
    const rows = (await api.get("accounts")).accounts;
    const provider = h("select", { id: "account-provider" }, Object.keys(providers).map((name) => h("option", { value: name }, name)));
    const key = h("input", { id: "account-key", placeholder: "sk-demo", autocomplete: "off", required: true });
    const balance = h("input", { id: "account-balance", placeholder: "1.50", inputmode: "decimal" });
    put(parts.accounts,
      rows.length ? h("div", { class: "table-box" }, h("table", {}, h("thead", {}, h("tr", {}, ["Provider", "Key", "Balance", ""].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, rows.map(accountRow))))
        : h("p", { class: "dim" }, "No account has a balance, so every key is unlimited."),
      h("form", { class: "fields three", onsubmit: (event) => { event.preventDefault(); action(async () => {
        await api.put(`accounts/${encodeURIComponent(provider.value)}/${encodeURIComponent(key.value)}`, { balance: balance.value.trim() || null });
        await accounts();
      })(event); } }, field("Provider", provider), field("Key", key), field("Balance in USD", balance, "Empty: unlimited."),
      h("div", { class: "actions" }, h("button", { type: "submit", class: "button" }, "Set balance"))));
  }

  function accountRow(row) {
    const target = `accounts/${encodeURIComponent(row.provider ?? "")}/${encodeURIComponent(row.id ?? row.key)}`;
    return h("tr", {}, h("td", {}, row.provider ?? "any"), h("td", {}, h("code", {}, row.key)), h("td", {}, row.balance === null ? "unlimited" : `$${row.balance}`),
      h("td", {}, row.provider && row.balance !== null && h("button", { type: "button", class: "button small", onclick: action(async () => { await api.post(`${target}/top-up`, { amount: "1" }); await accounts(); }) }, "+ $1")));
  }

  async function timing() {
    const found = await api.get("timing");
    const names = { lateness_ms: "Frames late", stream_too_long_ms: "Stream overrun", loop_lag_ms: "Loop lag" };
    put(parts.timing, Object.entries(names).filter(([name]) => found[name]).map(([name, title]) => h("div", { class: "tile" }, h("dt", {}, title), h("dd", {}, `${format.seconds(found[name].p50 / 1000)}`, h("small", { class: "below" }, `p99 ${format.seconds(found[name].p99 / 1000)}`)))));
  }

  for (const load of [clock, speed, accounts, timing]) load().catch((error) => toast(error.message, "bad"));
  const button = (name, what, kind = "") => h("button", { type: "button", class: `button ${kind}`, onclick: action(what) }, name);
  const exporting = (kind, type) => async () => download(`journal.${kind}`, await api.text("journal/export", { format: kind }), type);
  const element = h("section", { class: "page" }, h("div", { class: "page-head" }, h("h1", {}, "Control"), h("p", { class: "dim" }, `Namespace ${api.namespace()}`)),
    h("div", { class: "control-grid" }, card("Clock", parts.clock), card("Speed", parts.speed), card("Precision", parts.timing), card("Accounts", parts.accounts),
      card("Start over", h("p", { class: "dim" }, "Reset restores counters, state, faults, added rules and balances, and keeps the journal and the scenario."),
        h("div", { class: "actions" }, button("Reset", async () => { await api.post("reset"); toast("Namespace reset"); await accounts(); }, "danger"),
          button("Clear the journal", async () => { await api.remove("journal"); onCleared(); toast("The journal is empty"); }))),
      card("Export the journal", h("div", { class: "actions" }, button("JSON lines", exporting("jsonl", "application/x-ndjson")), button("HAR", exporting("har", "application/json")), button("curl script", exporting("curl", "text/x-shellscript"))))));
  return { element, stop: () => clearInterval(timer) };
}
