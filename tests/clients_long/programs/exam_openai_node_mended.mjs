// The same with everything mended that a program can mend.
import OpenAI from "openai";
import { readFileSync } from "node:fs";

const PATIENCE = 8000; // milliseconds without an event; the default is ten minutes, and none once a stream has begun

/** Has the SDK give up where it would not wait as long as it was told to. */
async function heedful(url, init) {
  const response = await fetch(url, init);
  if (!(Number(response.headers.get("retry-after")) > 60)) return response;
  const headers = new Headers(response.headers);
  headers.set("x-should-retry", "false");
  return new Response(response.body, { status: response.status, headers });
}

async function main(messages) {
  const client = new OpenAI({ timeout: PATIENCE, fetch: heedful });
  const stream = await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true });
  const abort = () => stream.controller.abort();
  let timer = setTimeout(abort, PATIENCE);
  let reason;
  for await (const part of stream) {
    clearTimeout(timer);
    timer = setTimeout(abort, PATIENCE);
    for (const choice of part.choices) {
      process.stdout.write(choice.delta.content ?? "");
      reason = choice.finish_reason ?? reason;
    }
  }
  clearTimeout(timer);
  // Nothing: it broke off, was aborted, or was no answer at all.
  if ([undefined, "length", "content_filter"].includes(reason)) throw new Error(`the answer is incomplete: ${reason}`);
}

try {
  await main([{ role: "user", content: readFileSync(0, "utf8") }]);
} catch (error) {
  console.error(`error: ${error.message}`); // also the error of JSON that the SDK cannot read
  process.exit(1);
}
