// Exchanges side by side in time: which waited for which, and which ran in parallel.

import { h, put, s } from "./dom.js";
import * as format from "./format.js";
import { all, filterOf, subscribe } from "./store.js";
import { rulerStep } from "./timeline.js";

const ROW = 26;
const HEAD = 28;
const MAX_ROWS = 60;
const LEAST = 3;
const IDLE = 2;
const CUT = 18;

export function waterfall({ onSelect }) {
  const box = h("div", { class: "waterfall-box" });
  const note = h("p", { class: "dim" });
  const element = h("section", { class: "page" }, h("div", { class: "page-head" }, h("h1", {}, "Waterfall"), note),
    h("div", { class: "card" }, box));

  function draw() {
    const rows = all().filter(filterOf(sessionStorage.getItem("emulator-filter") ?? "")).slice(0, MAX_ROWS).reverse();
    if (!rows.length) {
      note.textContent = "";
      put(box, h("p", { class: "empty" }, "No exchanges yet. Concurrent requests appear here side by side."));
      return;
    }
    const width = Math.max(320, box.clientWidth || 800);
    const names = width < 560 ? 118 : 230;
    const height = HEAD + rows.length * ROW + 6;
    const scale = scaleOf(rows, names, width - 12);
    note.textContent = `The last ${rows.length === 1 ? "exchange" : `${rows.length} exchanges`}; at most ${concurrent(rows)} at the same time`;
    const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": "Waterfall of exchanges" }, scale.ruler(height));
    rows.forEach((row, index) => svg.append(line(row, HEAD + index * ROW, scale.x, row.received, names, onSelect)));
    put(box, svg);
  }

  const stop = subscribe(draw);
  const sized = new ResizeObserver(draw);
  sized.observe(box);
  return { element, stop: () => { stop(); sized.disconnect(); } };
}

/** Time to pixels. Idle times are cut out, so that bursts stay readable. */
function scaleOf(rows, left, right) {
  const bursts = [];
  for (const row of [...rows].sort((a, b) => a.received - b.received)) {
    const end = row.received + Math.max(0.02, lasting(row));
    const last = bursts.at(-1);
    if (last && row.received - last.end < IDLE) last.end = Math.max(last.end, end);
    else bursts.push({ start: row.received, end });
  }
  const free = right - left - CUT * (bursts.length - 1);
  const total = bursts.reduce((sum, burst) => sum + burst.end - burst.start, 0) * 1.04;
  const perSecond = free / total;
  let at = left;
  for (const burst of bursts) {
    burst.left = at;
    at += (burst.end - burst.start) * perSecond + CUT;
  }
  const x = (moment) => {
    const burst = bursts.findLast((each) => each.start <= moment) ?? bursts[0];
    return burst.left + (Math.min(moment, burst.end) - burst.start) * perSecond;
  };
  const ruler = (height) => {
    const group = s("g", { class: "ruler" });
    const step = rulerStep(total, Math.max(3, Math.floor(free / 110)));
    bursts.forEach((burst, index) => {
      const wide = (burst.end - burst.start) * perSecond;
      if (index) group.append(s("line", { x1: burst.left - CUT / 2, x2: burst.left - CUT / 2, y1: HEAD - 6, y2: height, class: "wf-cut" }));
      if (!index || wide > 70) group.append(s("text", { x: burst.left, y: 14, class: "wf-cut-name" }, format.clock(burst.start)));
      for (let offset = step; offset * perSecond < wide; offset += step) {
        const place = burst.left + offset * perSecond;
        group.append(s("line", { x1: place, x2: place, y1: HEAD - 6, y2: height }));
        if (place - burst.left > 70) group.append(s("text", { x: place, y: 14, "text-anchor": "middle" }, `+${format.seconds(offset)}`));
      }
    });
    return group;
  };
  return { x, ruler };
}

function lasting(row) {
  return row.ended === null ? Math.max(0.05, Date.now() / 1000 - row.received) : row.last_sent ?? 0;
}

function concurrent(rows) {
  const changes = rows.flatMap((row) => [[row.received, 1], [row.received + lasting(row), -1]]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let now = 0;
  let most = 0;
  for (const [, change] of changes) most = Math.max(most, (now += change));
  return most;
}

function line(row, top, x, at, names, onSelect) {
  const wait = row.first_sent ?? lasting(row);
  const name = `#${row.number} ${row.provider ?? row.path}${names > 200 && row.model ? ` · ${row.model}` : ""}`;
  const letters = Math.floor(names / 7);
  const open = () => onSelect(row.number);
  return s("g", { class: `wf-row ${format.mood(row)}`, tabindex: "0", role: "button", "aria-label": `${name}, ${row.status}, ${format.seconds(lasting(row))}`, onclick: open, onkeydown: (event) => event.key === "Enter" && open() },
    s("rect", { x: 0, y: top, width: "100%", height: ROW, class: "wf-hit" }),
    s("circle", { cx: 10, cy: top + ROW / 2, r: 4, class: "wf-dot" }),
    s("text", { x: 22, y: top + 17, class: "wf-name" }, name.length > letters - 3 ? `${name.slice(0, letters - 4)}…` : name),
    s("rect", { x: x(at), y: top + 8, width: Math.max(LEAST, x(at + wait) - x(at)), height: 10, rx: 3, class: "wf-wait" }),
    row.first_sent !== null && s("rect", { x: x(at + wait), y: top + 6, width: Math.max(LEAST, x(at + lasting(row)) - x(at + wait)), height: 14, rx: 4, class: "wf-flow", style: { "--hue": format.hue(row.provider) } }),
    row.faults.length > 0 && s("text", { x: Math.max(names + 4, x(at + lasting(row)) + 4), y: top + 18, class: "wf-fault" }, "⚡"));
}
