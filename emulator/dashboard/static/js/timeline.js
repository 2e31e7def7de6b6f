// The stream of one exchange: how it was planned and how it was sent, drawn by hand as SVG.

import { h, put, s } from "./dom.js";
import * as format from "./format.js";

const HEIGHT = 190;
const LEFT = 58;
const RIGHT = 14;
const CURVE = [22, 112];
const LANES = { planned: 130, sent: 148 };
const MAX_TICKS = 1500;

/** Readable steps of a ruler: 1, 2 or 5 times a power of ten. */
export function rulerStep(span, wanted) {
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

export function timeline(exchange) {
  const box = h("div", { class: "timeline" });
  const note = h("div", { class: "timeline-note" });
  const frames = exchange.frames ?? [];
  const parts = [...new Set(frames.map((frame) => frame.part))];
  const figure = h("figure", { class: "figure" }, box,
    h("figcaption", { class: "legend" },
      h("span", { class: "key" }, h("i", { class: "swatch dashed" }), "planned"),
      h("span", { class: "key" }, h("i", { class: "swatch solid" }), "sent"),
      parts.map((part) => h("span", { class: "key" }, h("i", { class: `swatch dot part-${part}` }), part)),
      exchange.faults.length > 0 && h("span", { class: "key" }, h("i", { class: "swatch flag" }), "fault")), note);
  const draw = () => {
    const width = Math.max(280, box.clientWidth || 640);
    put(box, drawn(exchange, frames, width, note));
  };
  const sized = new ResizeObserver(draw);
  sized.observe(box);
  return { element: figure, stop: () => sized.disconnect() };
}

function drawn(exchange, frames, width, note) {
  const sent = frames.filter((frame) => frame.sent !== null);
  const flags = faultMarks(exchange, frames);
  const last = Math.max(...frames.map((frame) => Math.max(frame.planned, frame.sent ?? 0)), exchange.last_sent ?? 0, ...flags.map((flag) => flag.at), 0.001);
  const span = last * 1.02;
  const x = (at) => LEFT + (at / span) * (width - LEFT - RIGHT);
  const y = (count) => CURVE[1] - (count / Math.max(1, frames.length)) * (CURVE[1] - CURVE[0]);
  const title = `${sent.length} of ${frames.length} frames sent, first after ${format.seconds(exchange.first_sent)}, last after ${format.seconds(exchange.last_sent)}`;
  const svg = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": title }, ruler(span, width, x));
  svg.append(
    s("text", { x: 8, y: 30, class: "lane-name" }, "frames"),
    s("text", { x: 8, y: LANES.planned + 8, class: "lane-name" }, "planned"),
    s("text", { x: 8, y: LANES.sent + 8, class: "lane-name" }, "sent"),
  );
  const steps = (moments) => moments.reduce((path, [at, count]) => `${path} H${x(at).toFixed(1)} V${y(count).toFixed(1)}`, `M${x(0)} ${y(0)}`);
  if (sent.length) {
    const path = steps(sent.map((frame, index) => [frame.sent, index + 1]));
    svg.append(s("path", { d: `${path} V${CURVE[1]} H${x(0)} Z`, class: "area" }), s("path", { d: path, class: "sent-line", "data-role": "sent" }));
  }
  svg.append(s("path", { d: steps(frames.map((frame, index) => [frame.planned, index + 1])), class: "planned-line", "data-role": "planned" }));
  ticks(svg, frames, x);
  if (exchange.first_sent !== null) ttft(svg, x(exchange.first_sent), exchange.first_sent, width);
  for (const flag of flags) svg.append(flagMark(x(flag.at), flag.label, width));
  pointer(svg, frames, x, note, width, span);
  return svg;
}

function ruler(span, width, x) {
  const group = s("g", { class: "ruler" });
  const step = rulerStep(span, Math.max(3, Math.floor(width / 110)));
  for (let at = 0; at <= span; at += step) {
    group.append(s("line", { x1: x(at), x2: x(at), y1: CURVE[0] - 8, y2: LANES.sent + 14 }),
      s("text", { x: x(at), y: HEIGHT - 8, "text-anchor": at === 0 ? "start" : "middle" }, at === 0 ? "0" : `+${format.seconds(at)}`));
  }
  return group;
}

function ticks(svg, frames, x) {
  const every = Math.max(1, Math.ceil(frames.length / MAX_TICKS));
  const group = s("g", {});
  frames.forEach((frame, index) => {
    if (index % every && index !== frames.length - 1) return;
    group.append(s("rect", { x: x(frame.planned) - 1, y: LANES.planned, width: 2, height: 10, rx: 1, class: `tick hollow part-${frame.part}` }));
    if (frame.sent !== null) group.append(s("rect", { x: x(frame.sent) - 1, y: LANES.sent, width: 2, height: 12, rx: 1, class: `tick part-${frame.part}` }));
  });
  svg.append(group);
}

function ttft(svg, at, value, width) {
  const isLeft = at > width - 120;
  svg.append(s("g", { class: "ttft" }, s("line", { x1: at, x2: at, y1: 8, y2: LANES.sent + 14 }),
    s("text", { x: at + (isLeft ? -6 : 6), y: 16, "text-anchor": isLeft ? "end" : "start" }, `TTFT ${format.seconds(value)}`)));
}

function flagMark(at, label, width) {
  const isLeft = at > width / 2;
  return s("g", { class: "fault-mark" }, s("line", { x1: at, x2: at, y1: 22, y2: LANES.sent + 14 }),
    s("path", { d: `M${at} 22 l${isLeft ? -9 : 9} 5 l${isLeft ? 9 : -9} 5 z` }),
    s("text", { x: at + (isLeft ? -13 : 13), y: 32, "text-anchor": isLeft ? "end" : "start" }, `⚡ ${label}`));
}

/** Where faults are marked: at an early end, at the longest silence, or else at the first byte. */
export function faultMarks(exchange, frames) {
  const labels = exchange.applied.map((fault) => fault.split(" ")[0]);
  if (!labels.length) return [];
  let at = exchange.first_sent ?? 0;
  const moments = frames.map((frame) => frame.planned);
  const unsent = frames.findIndex((frame) => frame.sent === null);
  const odd = frames.findIndex((frame) => frame.part === "raw");
  if (exchange.ended !== "complete" || unsent >= 0) at = exchange.last_sent ?? at;
  else if (odd >= 0) at = frames[odd].sent ?? frames[odd].planned;
  else if (moments.length > 2) {
    const gaps = moments.slice(1).map((moment, index) => moment - moments[index]);
    const longest = Math.max(...gaps);
    const median = [...gaps].sort((a, b) => a - b)[gaps.length >> 1];
    if (longest > Math.max(0.25, 4 * median)) at = moments[gaps.indexOf(longest)];
  }
  return [{ at, label: labels.join(", ") }];
}

function pointer(svg, frames, x, note, width, span) {
  if (!frames.length) return;
  const cursor = s("line", { class: "cursor", y1: CURVE[0] - 8, y2: LANES.sent + 14, visibility: "hidden" });
  svg.append(cursor);
  const say = (frame, index) => {
    const late = frame.sent === null ? "never sent" : `sent +${format.seconds(frame.sent)} (${frame.sent - frame.planned >= 0 ? "+" : "−"}${format.seconds(Math.abs(frame.sent - frame.planned))})`;
    note.textContent = `frame ${index + 1} · ${frame.part} · ${frame.bytes} B · planned +${format.seconds(frame.planned)} · ${late}`;
  };
  const slowest = frames.reduce((worst, frame, index) => (frame.sent !== null && frame.sent - frame.planned > worst.by ? { by: frame.sent - frame.planned, index } : worst), { by: -Infinity, index: -1 });
  const rest = () => {
    cursor.setAttribute("visibility", "hidden");
    note.textContent = slowest.index < 0 ? "No frame was sent." : `Largest delay: ${format.seconds(Math.max(0, slowest.by))}, at frame ${slowest.index + 1} of ${frames.length}.`;
  };
  svg.addEventListener("pointermove", (event) => {
    const at = ((event.clientX - svg.getBoundingClientRect().left) * (width / svg.getBoundingClientRect().width) - LEFT) / (width - LEFT - RIGHT) * span;
    let best = 0;
    frames.forEach((frame, index) => {
      const moment = (each) => each.sent ?? each.planned;
      if (Math.abs(moment(frame) - at) < Math.abs(moment(frames[best]) - at)) best = index;
    });
    const position = x(frames[best].sent ?? frames[best].planned);
    cursor.setAttribute("x1", position);
    cursor.setAttribute("x2", position);
    cursor.setAttribute("visibility", "visible");
    say(frames[best], best);
  });
  svg.addEventListener("pointerleave", rest);
  rest();
}
