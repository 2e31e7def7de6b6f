// @anthropic-ai/sdk (npm): messages of Anthropic and of DeepSeek.
import Anthropic from "@anthropic-ai/sdk";
import { CITY, KEY, TRIP, base, broken, failure, joined, report } from "./common.mjs";

const user = (content) => [{ role: "user", content }];

function messages(row, path, model) {
  const client = new Anthropic({ baseURL: base(row, path), apiKey: KEY, maxRetries: 2 });
  const ask = (content, more = {}) =>
    client.messages.create({ model, max_tokens: 2048, messages: user(content), ...more });
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const textOf = (message) => message.content.filter((block) => block.type === "text").map((block) => block.text).join("");
  return {
    chat: async () => textOf(await ask("Hi")),
    stream: async () => {
      const pieces = [];
      const stream = client.messages.stream({ model, max_tokens: 2048, messages: user("Count") });
      stream.on("text", (piece) => pieces.push(piece));
      const final = await stream.finalMessage();
      if (textOf(final) !== pieces.join("")) throw new Error(`the end differs: ${textOf(final)}`);
      return joined(pieces);
    },
    tools: async () => {
      const said = user("How is the weather?");
      const tools = [{ name: "get_weather", input_schema: CITY }];
      const asked = { model, max_tokens: 2048, tools, thinking, messages: said };
      const message = await client.messages.stream(asked).finalMessage();
      const call = message.content.find((block) => block.type === "tool_use");
      said.push({ role: "assistant", content: message.content });
      said.push({ role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "sunny" }] });
      return {
        calls: [{ name: call.name, arguments: call.input }],
        answer: textOf(await client.messages.create(asked)),
      };
    },
    structured: async () => {
      const format = { type: "json_schema", schema: TRIP };
      const message = await client.messages.parse({
        model,
        max_tokens: 2048,
        messages: user("Plan a trip, as JSON"),
        output_config: { format },
      });
      return message.parsed_output ?? JSON.parse(textOf(message));
    },
    reasoning: async () => {
      const message = await client.messages.stream({ model, max_tokens: 2048, thinking, messages: user("Hi") }).finalMessage();
      const block = message.content.find((each) => each.type === "thinking");
      return block && block.signature !== undefined ? block.thinking : null;
    },
    errors: async () => ({
      refused: await failure(() => ask("Bad")),
      broken: await broken(async function* () {
        for await (const event of await ask("Break", { stream: true })) {
          if (event.type === "content_block_delta" && event.delta.type === "text_delta") yield event.delta.text;
        }
      }),
    }),
    retries: async () => textOf(await ask("Fail once")),
  };
}

await report({
  "anthropic-node.messages": messages("anthropic-node.messages", "/anthropic", "claude-haiku-4-5-20251001"),
  "anthropic-node.deepseek-messages": messages("anthropic-node.deepseek-messages", "/deepseek/anthropic", "deepseek-flash"),
});
