// The live list: only the visible rows exist, so a thousand rows cost no more than twenty.

import { h, put } from "./dom.js";
import * as format from "./format.js";
import { all, filterOf, subscribe } from "./store.js";

const ROW = 64;
const SPARE = 6;

export function list({ selected, onSelect, onClear }) {
  let rows = [];
  let query = sessionStorage.getItem("emulator-filter") ?? "";
  let isPaused = false;
  const spacer = h("div", { class: "rows" });
  const scroller = h("div", { class: "scroller", tabindex: "0", role: "listbox", "aria-label": "Exchanges", onscroll: () => draw() }, spacer);
  const count = h("span", { class: "count", role: "status" });
  const search = h("input", {
    type: "search", class: "search", id: "filter", placeholder: "Filter: status:4xx provider:deepseek …",
    "aria-label": "Filter exchanges", value: query,
    oninput: () => {
      query = search.value;
      sessionStorage.setItem("emulator-filter", query);
      scroller.scrollTop = 0;
      refresh();
    },
  });
  const pause = h("button", {
    type: "button", class: "button small", "aria-pressed": "false",
    onclick: () => {
      isPaused = !isPaused;
      pause.setAttribute("aria-pressed", String(isPaused));
      pause.textContent = isPaused ? "Resume" : "Pause";
      refresh();
    },
  }, "Pause");
  const chips = h("div", { class: "chips" }, ["errors", "faults", "open"].map((name) => {
    const term = { errors: "outcome:error", faults: "fault:any", open: "ended:open" }[name];
    const chip = h("button", { type: "button", class: "chip", "data-term": term, onclick: () => {
      const words = search.value.split(/\s+/).filter(Boolean);
      search.value = (words.includes(term) ? words.filter((word) => word !== term) : [...words, term]).join(" ");
      search.dispatchEvent(new Event("input"));
    } }, name);
    return chip;
  }));
  const clear = h("button", { type: "button", class: "button small", onclick: onClear }, "Clear");
  const empty = h("div", { class: "empty" });
  const element = h("section", { class: "list", "aria-label": "List of exchanges" },
    h("div", { class: "list-head" }, search, h("div", { class: "list-bar" }, chips, count, pause, clear)), scroller, empty);

  function refresh() {
    if (!isPaused) rows = all().filter(filterOf(query));
    for (const chip of chips.children) chip.setAttribute("aria-pressed", String(query.split(/\s+/).includes(chip.dataset.term)));
    count.textContent = format.number(rows.length);
    empty.hidden = rows.length > 0;
    scroller.hidden = rows.length === 0;
    if (!rows.length) {
      put(empty, h("div", { class: "empty-mark", "aria-hidden": "true" }, "∿"), query ? h("p", {}, "No exchange matches this filter.") : [
        h("h2", {}, "No requests yet"), h("p", {}, "Point a client at this server, or "), h("a", { href: "#/try", class: "button primary" }, "Try a prompt")]);
    }
    spacer.style.height = `${rows.length * ROW}px`;
    draw();
  }

  function draw() {
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW) - SPARE);
    const last = Math.min(rows.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW) + SPARE);
    const shown = [];
    for (let index = first; index < last; index++) shown.push(drawn(rows[index], index));
    spacer.replaceChildren(...shown);
    const active = spacer.querySelector("[aria-selected=true]");
    if (active) scroller.setAttribute("aria-activedescendant", active.id);
    else scroller.removeAttribute("aria-activedescendant");
  }

  function drawn(row, index) {
    const isSelected = row.number === selected();
    return h("div", {
      class: `row ${format.mood(row)}`, id: `row-${row.number}`, role: "option", "aria-selected": String(isSelected),
      style: { top: `${index * ROW}px` }, "data-number": row.number, onclick: () => onSelect(row.number),
    },
    h("span", { class: "status" }, row.status || "···"),
    h("span", { class: "row-main" },
      h("span", { class: "row-title" },
        h("span", { class: "provider", style: { "--hue": format.hue(row.provider) } }, row.provider ?? "no provider"),
        h("span", { class: "model" }, row.model || row.path)),
      h("span", { class: "row-sub" }, h("span", { class: "row-words" }, subtitle(row), row.prompt && [" · ", h("span", { class: "row-prompt", title: row.prompt }, row.prompt)]),
        row.faults.length > 0 && h("span", { class: "fault-tag" }, `⚡ ${row.faults[0].split(" ")[0]}${row.faults.length > 1 ? ` +${row.faults.length - 1}` : ""}`))),
    h("span", { class: "row-side" },
      h("span", { class: "time" }, row.ended === null && row.stream ? "streaming" : format.seconds(row.last_sent)),
      bar(row),
      h("span", { class: "dim" }, row.usage ? `${format.number(row.usage.total)} tok` : `#${row.number}`)));
  }

  function move(by) {
    const at = rows.findIndex((row) => row.number === selected());
    const next = Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by));
    if (!rows[next]) return;
    onSelect(rows[next].number, true);
    const top = next * ROW;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    if (top + ROW > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + ROW - scroller.clientHeight;
    draw();
  }

  scroller.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -1e6, End: 1e6 };
    if (event.key in steps) {
      event.preventDefault();
      move(steps[event.key]);
    } else if (event.key === "Enter" && selected() !== null) onSelect(selected());
  });
  const stop = subscribe(refresh);
  const sized = new ResizeObserver(() => draw());
  sized.observe(scroller);
  return { element, refresh, move, focus: () => search.focus(), stop: () => { stop(); sized.disconnect(); } };
}

function subtitle(row) {
  if (row.error === "unmatched" && row.prompt) return "no rule matches";
  if (row.outcome === "error") return row.message ?? (row.provider ? null : row.notes[0]) ?? row.error ?? "error";
  if (row.rule) return `rule ${row.rule}`;
  if (row.ended && row.ended !== "complete") return format.endings[row.ended] ?? row.ended;
  return row.outcome === "generated" ? "generated answer" : row.path;
}

/** How much of an exchange was waiting, and how much streaming: full width is four seconds. */
function bar(row) {
  const scale = (value) => `${Math.min(100, (value / 4) * 100)}%`;
  const wait = row.first_sent ?? 0;
  return h("span", { class: "bar", "aria-hidden": "true" },
    h("i", { class: "wait", style: { width: scale(wait) } }),
    h("i", { class: "flow", style: { width: scale(Math.max(0, (row.last_sent ?? wait) - wait)) } }));
}
