// openai (npm): chat completions, responses and embeddings of OpenAI, chat completions of DeepSeek.
import OpenAI from "openai";
import { CITY, KEY, TRIP, base, broken, failure, joined, report } from "./common.mjs";

const user = (content) => [{ role: "user", content }];

function chats(row, path, model, options = {}) {
  const client = new OpenAI({ baseURL: base(row, path), apiKey: KEY, maxRetries: 2 });
  const ask = (content, more = {}) => client.chat.completions.create({ model, messages: user(content), ...more });
  const tools = [{ type: "function", function: { name: "get_weather", parameters: CITY } }];
  return {
    chat: async () => (await ask("Hi")).choices[0].message.content,
    stream: async () => {
      const pieces = [];
      for await (const chunk of await ask("Count", { stream: true })) {
        if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
      }
      return joined(pieces);
    },
    tools: async () => {
      const messages = user("How is the weather?");
      // The helper for streams keeps only the last piece of members that it does not know, such as reasoning_content.
      const asked = { model, messages, tools };
      const whole = options.deepseek
        ? await client.chat.completions.create(asked)
        : await client.chat.completions.stream(asked).finalChatCompletion();
      const { message } = whole.choices[0];
      const [call] = message.tool_calls;
      messages.push(message, { role: "tool", tool_call_id: call.id, content: "sunny" });
      const answer = await client.chat.completions.create({ model, messages, tools });
      return {
        calls: [{ name: call.function.name, arguments: JSON.parse(call.function.arguments) }],
        answer: answer.choices[0].message.content,
      };
    },
    structured: async () => {
      const response_format = options.deepseek
        ? { type: "json_object" }
        : { type: "json_schema", json_schema: { name: "trip", schema: TRIP, strict: true } };
      const parsed = await client.chat.completions.parse({
        model,
        messages: user("Plan a trip, as JSON"),
        response_format,
      });
      return JSON.parse(parsed.choices[0].message.content);
    },
    reasoning: async () => (await ask("Hi")).choices[0].message.reasoning_content,
    errors: async () => ({
      refused: await failure(() => ask("Bad")),
      broken: await broken(async function* () {
        for await (const chunk of await ask("Break", { stream: true })) yield chunk.choices[0]?.delta.content ?? "";
      }),
    }),
    retries: async () => (await ask("Fail once")).choices[0].message.content,
  };
}

function responses(row, path, model) {
  const client = new OpenAI({ baseURL: base(row, path), apiKey: KEY, maxRetries: 2 });
  const ask = (input, more = {}) => client.responses.create({ model, input, ...more });
  const tools = [{ type: "function", name: "get_weather", parameters: CITY, strict: true }];
  return {
    chat: async () => (await ask("Hi")).output_text,
    stream: async () => {
      const pieces = [];
      const stream = client.responses.stream({ model, input: "Count" });
      stream.on("response.output_text.delta", (event) => pieces.push(event.delta));
      const final = await stream.finalResponse();
      if (final.output_text !== pieces.join("")) throw new Error(`the end differs: ${final.output_text}`);
      return joined(pieces);
    },
    tools: async () => {
      const input = user("How is the weather?");
      const response = await client.responses.stream({ model, input, tools }).finalResponse();
      const call = response.output.find((item) => item.type === "function_call");
      const given = response.output.map(({ parsed_arguments, ...item }) => item);
      input.push(...given, { type: "function_call_output", call_id: call.call_id, output: "sunny" });
      return {
        calls: [{ name: call.name, arguments: JSON.parse(call.arguments) }],
        answer: (await ask(input, { tools })).output_text,
      };
    },
    structured: async () => {
      const format = { type: "json_schema", name: "trip", schema: TRIP, strict: true };
      const response = await client.responses.parse({ model, input: "Plan a trip, as JSON", text: { format } });
      return JSON.parse(response.output_text);
    },
    reasoning: async () => {
      const response = await ask("Hi", { reasoning: { effort: "high", summary: "auto" } });
      const item = response.output.find((each) => each.type === "reasoning");
      return (item.content?.[0] ?? item.summary[0])?.text;
    },
    errors: async () => ({
      refused: await failure(() => ask("Bad")),
      broken: await broken(async function* () {
        for await (const event of await ask("Break", { stream: true })) {
          if (event.type === "response.output_text.delta") yield event.delta;
          if (event.type === "error" || event.type === "response.failed") throw new Error("told by an event");
        }
      }),
    }),
    retries: async () => (await ask("Fail once")).output_text,
  };
}

function embeddings(row) {
  const client = new OpenAI({ baseURL: base(row, "/openai/v1"), apiKey: KEY });
  return {
    embeddings: async () => {
      const input = ["a cat sat", "a cat sat", "prices of steel"];
      const rows = (await client.embeddings.create({ model: "text-embedding-3-small", input, dimensions: 64 })).data;
      const vectors = rows.map((each) => each.embedding);
      return { lengths: vectors.map((each) => each.length), same: String(vectors[0]) === String(vectors[1]) };
    },
  };
}

await report({
  "openai-node.chat": chats("openai-node.chat", "/openai/v1", "gpt-5-mini"),
  "openai-node.responses": responses("openai-node.responses", "/openai/v1", "gpt-5-mini"),
  "openai-node.embeddings": embeddings("openai-node.embeddings"),
  "openai-node.deepseek-chat": chats("openai-node.deepseek-chat", "/deepseek", "deepseek-flash", { deepseek: true }),
  "openai-node.deepseek-responses": responses("openai-node.deepseek-responses", "/deepseek", "deepseek-flash"),
});
