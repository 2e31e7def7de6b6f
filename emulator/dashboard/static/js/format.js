// Formats numbers and names for people.

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.0095) return `${(value * 1000).toFixed(1)} ms`;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 100) return `${value.toFixed(2)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

export function bytes(value) {
  if (value < 1024) return `${value} B`;
  if (value < 1048576) return `${(value / 1024).toFixed(1)} KiB`;
  return `${(value / 1048576).toFixed(1)} MiB`;
}

export const number = (value) => value.toLocaleString("en-US");
export const clock = (unix) => new Date(unix * 1000).toLocaleTimeString("en-GB");

export function money(text) {
  const value = Number(text);
  if (!value) return "$0";
  return value < 0.01 ? `$${value.toFixed(6).replace(/0+$/, "")}` : `$${value.toFixed(2)}`;
}

export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** ok, warn, bad or open: determines the color of an exchange. */
export function mood(row) {
  if (row.ended === null) return "open";
  if (row.status >= 500 || row.status === 0) return "bad";
  if (row.status >= 400) return "warn";
  if (row.ended !== "complete") return "warn";
  return "ok";
}

export const endings = {
  complete: "complete",
  client_closed: "client left",
  closed: "closed early",
  reset: "reset",
  shutdown: "server stopped",
  lost: "server killed",
};

const HUES = [221, 262, 172, 24, 340, 200, 290, 140, 45, 310];
const seen = new Map();

/** The hue of a provider on this page. */
export function hue(provider) {
  if (!provider) return 220;
  if (!seen.has(provider)) {
    let hash = 7;
    for (const letter of provider) hash = (hash * 31 + letter.charCodeAt(0)) % 997;
    seen.set(provider, HUES[hash % HUES.length]);
  }
  return seen.get(provider);
}
