// emulator run -- npx vitest run --dir docs/examples

import { afterEach, beforeEach, expect, test } from "vitest";
import { namespace } from "./emulator.mjs";
import { weather } from "./weather.mjs";

let emulator;

beforeEach(async (context) => {
  emulator = await namespace(context.task.name);
});

afterEach(async () => {
  await emulator.assertNoUnmatched();
  await emulator.remove();
});

test("an answer", async () => {
  await emulator.rule({ match: { prompt: { contains: "Paris" } }, reply: { content: "Sunny." } });
  expect(await weather(emulator.baseURL, "Paris")).toBe("Sunny.");
  expect(await emulator.journal()).toMatchObject([{ provider: "openai", model: "gpt-4o-mini", status: 200 }]);
});

test("a busy provider", async () => {
  await emulator.rule({ replies: [{ error: "rate_limited" }, { error: "overloaded" }, { reply: { content: "Snow." } }] });
  expect(await weather(emulator.baseURL, "Oslo")).toBe("Snow.");
  expect((await emulator.waitFor(3)).map((exchange) => exchange.status)).toEqual([429, 503, 200]);
});

test("a connection that breaks", async () => {
  await emulator.rule({ reply: { content: "Rain." } });
  await emulator.fault("reset", 1);
  await expect(weather(emulator.baseURL, "Rome")).rejects.toThrow();
  expect(await weather(emulator.baseURL, "Rome")).toBe("Rain.");
});
