// The control API of a running emulator, for tests in JavaScript. Copy it; it needs nothing but Node 18.

const server = process.env.EMULATOR_URL ?? "http://127.0.0.1:8080";

/** A namespace for one test: its own rules, counters and journal. */
export async function namespace(name, scenario = { unmatched: "error" }) {
  const safe = `${name.replace(/[^\w.-]+/g, "-").slice(0, 80)}-${crypto.randomUUID().slice(0, 8)}`;
  await call("PUT", `${server}/__emulator/namespaces/${safe}`, { scenario });
  const control = `${server}/@${safe}/__emulator`;
  return {
    /** The base URL for an OpenAI SDK. */
    baseURL: `${server}/@${safe}/openai/v1`,
    /** `rule({match: {prompt: {contains: "Paris"}}, reply: {content: "Sunny."}})`, as in a scenario. */
    rule: (rule) => call("POST", `${control}/rules`, rule),
    /** `fault("reset:after_tokens=3", 1)`: for the next request; without a number, for all. */
    fault: (fault, times) => call("POST", `${control}/faults`, times ? { fault, times } : { fault }),
    /** All exchanges, oldest first; `filter` as in `{status: "429"}`. */
    journal: async (filter = {}) =>
      (await call("GET", `${control}/journal?${new URLSearchParams(filter)}`)).exchanges,
    /** The same once so many are answered. */
    waitFor: async (count, filter = {}) =>
      (await call("GET", `${control}/journal/wait?${new URLSearchParams({ count, ...filter })}`)).exchanges,
    /** Throws when a request matched no rule, and says why. */
    async assertNoUnmatched() {
      for (const exchange of await this.journal()) {
        if (exchange.error !== "unmatched") continue;
        const { misses } = await call("GET", `${control}/journal/${exchange.number}`);
        throw new Error(`request ${exchange.number} matched no rule:\n  ${misses.join("\n  ")}`);
      }
    },
    remove: () => call("DELETE", `${server}/__emulator/namespaces/${safe}`),
  };
}

async function call(method, url, body) {
  const response = await fetch(url, {
    method,
    headers: { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}
