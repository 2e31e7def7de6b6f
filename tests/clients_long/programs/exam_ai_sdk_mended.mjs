// The same with everything mended that a program can mend.
import { createOpenAI } from "@ai-sdk/openai";
import { streamText } from "ai";
import { readFileSync } from "node:fs";

const PATIENCE = 8000; // milliseconds; there is no timeout by default

/** Waits for the head of an answer only so long, and gives up where the SDK would try again too early, or in vain. */
async function heedful(url, init) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), PATIENCE);
  const signal = init.signal ? AbortSignal.any([init.signal, late.signal]) : late.signal;
  const response = await fetch(url, { ...init, signal }).finally(() => clearTimeout(timer));
  const isLong = Number(response.headers.get("retry-after")) > 60;
  if (isLong || response.headers.get("x-should-retry") === "false") throw new Error(`status ${response.status}`);
  return response;
}

async function main(prompt) {
  const { fullStream } = streamText({
    model: createOpenAI({ fetch: heedful }).chat("gpt-4o-mini"),
    prompt,
    timeout: { firstChunkMs: PATIENCE, chunkMs: PATIENCE },
    onError() {}, // by default errors are only printed; here they are thrown
  });
  let reason;
  for await (const part of fullStream) {
    if (part.type === "text-delta") process.stdout.write(part.text);
    if (part.type === "error") throw part.error;
    if (part.type === "abort") throw new Error("it took too long");
    if (part.type === "finish") reason = part.rawFinishReason;
  }
  // Nothing: it broke off, or it was no answer at all.
  if ([undefined, "length", "content_filter"].includes(reason)) throw new Error(`the answer is incomplete: ${reason}`);
}

try {
  await main(readFileSync(0, "utf8"));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exit(1);
}
