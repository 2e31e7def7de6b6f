// The Vercel AI SDK (npm: ai) with its providers for DeepSeek, OpenAI, Anthropic and Google.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createDeepSeek } from "@ai-sdk/deepseek";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { Output, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { KEY, base, broken, failure, joined, report } from "./common.mjs";

function sdk(row, model, providerOptions = {}) {
  const common = { model, maxRetries: 2, providerOptions };
  const calls = [];
  const tools = {
    get_weather: tool({
      description: "The weather at a place",
      inputSchema: z.object({ city: z.string() }),
      execute: async (input) => {
        calls.push({ name: "get_weather", arguments: input });
        return "sunny";
      },
    }),
  };
  return {
    chat: async () => (await generateText({ ...common, prompt: "Hi" })).text,
    stream: async () => {
      const pieces = [];
      for await (const piece of streamText({ ...common, prompt: "Count" }).textStream) pieces.push(piece);
      return joined(pieces);
    },
    tools: async () => {
      const asked = { ...common, tools, stopWhen: stepCountIs(3), prompt: "How is the weather?" };
      const answer = await streamText({ ...asked, onError() {} }).text;
      const again = await generateText(asked);
      if (again.text !== answer) throw new Error(`without a stream it is: ${again.text}`);
      if (JSON.stringify(calls[0]) !== JSON.stringify(calls[1])) throw new Error("without a stream the call differs");
      return { calls: calls.slice(0, 1), answer };
    },
    structured: async () => {
      const schema = z.object({ city: z.string(), days: z.number().int() });
      const output = Output.object({ schema });
      return (await generateText({ ...common, output, prompt: "Plan a trip, as JSON" })).output;
    },
    reasoning: async () => {
      const streamed = streamText({ ...common, prompt: "Hi" });
      const whole = (await generateText({ ...common, prompt: "Hi" })).reasoningText ?? null;
      const pieces = (await streamed.reasoningText) ?? null;
      if (pieces !== whole) throw new Error(`streamed: ${pieces}, whole: ${whole}`);
      return whole;
    },
    errors: async () => ({
      refused: await failure(() => generateText({ ...common, prompt: "Bad" })),
      broken: await broken(async function* () {
        for await (const part of streamText({ ...common, prompt: "Break", onError() {} }).fullStream) {
          if (part.type === "text-delta") yield part.text;
          if (part.type === "error") throw part.error;
        }
      }),
    }),
    retries: async () => (await generateText({ ...common, prompt: "Fail once" })).text,
  };
}

function embeddings(row, model, providerOptions) {
  return {
    embeddings: async () => {
      const values = ["a cat sat", "a cat sat", "prices of steel"];
      const { embeddings: vectors } = await embedMany({ model, values, providerOptions });
      return { lengths: vectors.map((each) => each.length), same: String(vectors[0]) === String(vectors[1]) };
    },
  };
}

const at = (row, path) => ({ baseURL: base(row, path), apiKey: KEY });
const thinking = { type: "enabled", budgetTokens: 1024 };
const rows = {
  "ai-sdk.deepseek": (row) => sdk(row, createDeepSeek(at(row, "/deepseek"))("deepseek-flash")),
  "ai-sdk.openai": (row) =>
    sdk(row, createOpenAI(at(row, "/openai/v1"))("gpt-5-mini"), { openai: { reasoningSummary: "auto" } }),
  "ai-sdk.openai-chat": (row) => sdk(row, createOpenAI(at(row, "/openai/v1")).chat("gpt-5-mini")),
  "ai-sdk.anthropic": (row) =>
    sdk(row, createAnthropic(at(row, "/anthropic/v1"))("claude-haiku-4-5-20251001"), { anthropic: { thinking } }),
  "ai-sdk.google": (row) =>
    sdk(row, createGoogleGenerativeAI(at(row, "/gemini/v1beta"))("gemini-2.5-flash"), {
      google: { thinkingConfig: { includeThoughts: true } },
    }),
  "ai-sdk.openai-embeddings": (row) =>
    embeddings(row, createOpenAI(at(row, "/openai/v1")).embeddingModel("text-embedding-3-small"), {
      openai: { dimensions: 64 },
    }),
  "ai-sdk.google-embeddings": (row) =>
    embeddings(row, createGoogleGenerativeAI(at(row, "/gemini/v1beta")).embeddingModel("gemini-embedding-001"), {
      google: { outputDimensionality: 64 },
    }),
};

await report(Object.fromEntries(Object.entries(rows).map(([row, make]) => [row, make(row)])));
