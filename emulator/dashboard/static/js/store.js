// The exchanges on this page: a bounded list that notifies its readers once per frame, however many events arrive.

export const MAX_EXCHANGES = 1000;
const known = new Map();
const readers = new Set();
let isDue = false;

function notify() {
  if (isDue) return;
  isDue = true;
  const run = () => {
    isDue = false;
    for (const reader of readers) reader();
  };
  if (document.hidden) setTimeout(run, 250);
  else requestAnimationFrame(run);
}

export function note(row) {
  row.seen = performance.now();
  const before = known.get(row.number);
  if (before?.ended && !row.ended) return;
  known.set(row.number, row);
  while (known.size > MAX_EXCHANGES) known.delete(known.keys().next().value);
  notify();
}

export function clear() {
  known.clear();
  notify();
}

/** Newest first. */
export const all = () => [...known.values()].sort((a, b) => b.received - a.received || b.number - a.number);
export const find = (number) => known.get(number);

export function subscribe(reader) {
  readers.add(reader);
  return () => readers.delete(reader);
}

// Filter: all words must occur, `field:value` matches one field, a leading `-` negates a term.

const FIELDS = {
  provider: (row) => row.provider ?? "none",
  model: (row) => row.model,
  rule: (row) => row.rule ?? "none",
  status: (row) => String(row.status),
  outcome: (row) => row.outcome,
  path: (row) => row.path,
  fault: (row) => (row.faults.length ? `any ${row.faults.join(" ")}` : "none"),
  ended: (row) => row.ended ?? "open",
};

export function filterOf(query) {
  const terms = query.trim().toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const isNot = word.startsWith("-") && word.length > 1;
    const plain = isNot ? word.slice(1) : word;
    const [name, ...rest] = plain.split(":");
    const wanted = rest.join(":");
    if (rest.length && Object.hasOwn(FIELDS, name)) {
      const test = name === "status" && /^[1-5]xx$/.test(wanted)
        ? (row) => String(row.status)[0] === wanted[0]
        : (row) => FIELDS[name](row).toLowerCase().includes(wanted);
      return isNot ? (row) => !test(row) : test;
    }
    const test = (row) => haystack(row).includes(plain);
    return isNot ? (row) => !test(row) : test;
  });
  return (row) => terms.every((test) => test(row));
}

function haystack(row) {
  row.words ??= [row.number, row.provider, row.model, row.path, row.rule, row.prompt, row.outcome, row.status, row.message, row.error, row.faults.join(" "), row.ended]
    .filter((part) => part !== null && part !== undefined).join(" ").toLowerCase();
  return row.words;
}
