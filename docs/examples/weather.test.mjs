// emulator run -- node --test docs/examples/

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { namespace } from "./emulator.mjs";
import { weather } from "./weather.mjs";

let emulator;

beforeEach(async (context) => {
  emulator = await namespace(context.name ?? "weather");
});

afterEach(async () => {
  await emulator.assertNoUnmatched();
  await emulator.remove();
});

test("an answer", async () => {
  await emulator.rule({ match: { prompt: { contains: "Paris" } }, reply: { content: "Sunny." } });
  assert.equal(await weather(emulator.baseURL, "Paris"), "Sunny.");
  const [exchange] = await emulator.journal();
  assert.deepEqual([exchange.provider, exchange.model, exchange.status], ["openai", "gpt-4o-mini", 200]);
});

test("a busy provider", async () => {
  await emulator.rule({ replies: [{ error: "rate_limited" }, { error: "overloaded" }, { reply: { content: "Snow." } }] });
  assert.equal(await weather(emulator.baseURL, "Oslo"), "Snow.");
  const statuses = (await emulator.waitFor(3)).map((exchange) => exchange.status);
  assert.deepEqual(statuses, [429, 503, 200]);
});

test("a connection that breaks", async () => {
  await emulator.rule({ reply: { content: "Rain." } });
  await emulator.fault("reset", 1);
  await assert.rejects(weather(emulator.baseURL, "Rome"));
  assert.equal(await weather(emulator.baseURL, "Rome"), "Rain.");
});
