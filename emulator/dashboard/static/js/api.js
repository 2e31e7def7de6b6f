// The control API as this page uses it: JSON in, JSON out, and one stream of events.

const BASE = new URL(".", document.baseURI).pathname;
const state = { token: "", namespace: "default" };

/** Takes the token and the namespace out of the URL; the token is remembered for this tab and leaves the address bar. */
export function setUp() {
  const url = new URL(location.href);
  const inPath = /^\/@([^/]+)\//.exec(location.pathname);
  state.namespace = url.searchParams.get("namespace") ?? (inPath ? inPath[1] : "default");
  const given = url.searchParams.get("token");
  if (given) {
    sessionStorage.setItem("emulator-token", given);
    url.searchParams.delete("token");
    history.replaceState(null, "", url);
  }
  state.token = given ?? sessionStorage.getItem("emulator-token") ?? "";
}

export const namespace = () => state.namespace;

function address(path, query = {}) {
  const url = new URL(BASE + path, location.origin);
  url.searchParams.set("namespace", state.namespace);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

/** An error of the API, with its problems and their positions. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error ?? `The server responded with ${status}.`);
    this.status = status;
    this.problems = body?.problems ?? [];
  }
}

async function ask(method, path, { query, body } = {}) {
  const headers = state.token ? { authorization: `Bearer ${state.token}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path, query), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("The emulator does not respond. Is it still running?");
  }
  const text = await response.text();
  const isJson = (response.headers.get("content-type") ?? "").includes("application/json");
  const data = isJson && text ? JSON.parse(text) : text;
  if (!response.ok) throw new ApiError(response.status, isJson ? data : null);
  return data;
}

export const get = (path, query) => ask("GET", path, { query });
export const post = (path, body = {}) => ask("POST", path, { body });
export const put = (path, body) => ask("PUT", path, { body });
export const remove = (path) => ask("DELETE", path);
export const text = async (path, query) => {
  const found = await get(path, query);
  return typeof found === "string" ? found : JSON.stringify(found, null, 2);
};

export async function catalog() {
  const response = await fetch(new URL(`${BASE}assets/catalog.json`, location.origin));
  return response.json();
}

/** Listens to exchanges; `onState` hears `live`, `lost`. The browser reconnects by itself. */
export function events(onExchange, onState) {
  const source = new EventSource(address("events", state.token ? { token: state.token } : {}));
  for (const name of ["begin", "move", "end"]) source.addEventListener(name, (event) => onExchange(JSON.parse(event.data), name));
  source.addEventListener("open", () => onState("live"));
  source.addEventListener("error", () => onState("lost"));
  return () => source.close();
}
