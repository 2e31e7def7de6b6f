// The content of a provider's answer, in any dialect.

/** Splits a stream of server-sent events into their data. */
export function eventReader(onData) {
  let rest = "";
  return (text) => {
    rest += text;
    const parts = rest.split(/\r\n\r\n|\n\n|\r\r/);
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split(/\r\n|\n|\r/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).replace(/^ /, "")).join("\n");
      if (data) onData(data);
    }
  };
}

const NOTHING = { text: "", reasoning: "", tools: "", error: "" };

/** The piece that one event adds. */
export function piece(data) {
  if (data === "[DONE]") return NOTHING;
  let value;
  try {
    value = JSON.parse(data);
  } catch {
    return { ...NOTHING, error: `An event is not valid JSON: ${data.slice(0, 200)}` };
  }
  value = value?.model_response ?? value;
  if (value?.error) return { ...NOTHING, error: message(value.error) };
  const type = typeof value?.type === "string" ? value.type : "";
  if (type.startsWith("response.")) return ofResponses(value, type);
  if (type === "content_block_delta") return { ...NOTHING, text: value.delta?.text ?? "", reasoning: value.delta?.thinking ?? "", tools: value.delta?.partial_json ?? "" };
  if (type) return NOTHING;
  return whole(value, "delta");
}

function ofResponses(value, type) {
  if (type === "response.output_text.delta") return { ...NOTHING, text: value.delta };
  if (/^response\.reasoning.*\.delta$/.test(type)) return { ...NOTHING, reasoning: value.delta };
  if (type === "response.function_call_arguments.delta") return { ...NOTHING, tools: value.delta };
  if (type === "response.failed") return { ...NOTHING, error: message(value.response?.error ?? type) };
  return NOTHING;
}

/** The content of a whole answer. */
export function whole(value, key = "message") {
  value = value?.model_response ?? value;
  if (value?.error) return { ...NOTHING, error: message(value.error) };
  if (Array.isArray(value?.choices)) {
    const choice = value.choices[0] ?? {};
    const said = choice[key] ?? choice.message ?? {};
    const tools = (said.tool_calls ?? []).map((call) => `${call.function?.name ?? ""}${call.function?.arguments ?? ""}`).join("\n");
    return { ...NOTHING, text: said.content ?? choice.text ?? "", reasoning: said.reasoning_content ?? said.reasoning ?? "", tools };
  }
  if (Array.isArray(value?.content)) return blocks(value.content);
  if (Array.isArray(value?.output)) return blocks(value.output.flatMap((item) => item.content ?? item.summary ?? [item]));
  if (value?.promptFeedback && !value.candidates?.length) return { ...NOTHING, error: `The prompt was blocked: ${value.promptFeedback.blockReason}.` };
  if (Array.isArray(value?.candidates)) {
    const parts = value.candidates[0]?.content?.parts ?? [];
    const tools = parts.filter((part) => part.functionCall).map((part) => `${part.functionCall.name} ${JSON.stringify(part.functionCall.args ?? {})}`).join("\n");
    return { ...NOTHING, text: joined(parts.filter((part) => !part.thought)), reasoning: joined(parts.filter((part) => part.thought)), tools };
  }
  return { ...NOTHING, text: value === undefined ? "" : JSON.stringify(value, null, 2) };
}

const joined = (parts) => parts.map((part) => part.text ?? "").join("");

function blocks(items) {
  const isThought = (item) => item.type === "thinking" || item.type?.startsWith("reasoning") || item.type === "summary_text";
  return {
    ...NOTHING,
    text: joined(items.filter((item) => !isThought(item))),
    reasoning: items.filter(isThought).map((item) => item.thinking ?? item.text ?? "").join(""),
    tools: items.filter((item) => item.type === "tool_use").map((item) => `${item.name} ${JSON.stringify(item.input)}`).join("\n"),
  };
}

const message = (error) => (typeof error === "string" ? error : error.message ?? JSON.stringify(error));
