// @google/genai (npm): generate content and embeddings of Gemini.
import { GoogleGenAI } from "@google/genai";
import { CITY, KEY, TRIP, base, broken, failure, joined, report } from "./common.mjs";

function gemini(row, model) {
  const httpOptions = { baseUrl: base(row, "/gemini"), retryOptions: { attempts: 3 } };
  const { models } = new GoogleGenAI({ apiKey: KEY, httpOptions });
  const ask = (contents, config = {}) => models.generateContent({ model, contents, config });
  return {
    chat: async () => (await ask("Hi")).text,
    stream: async () => {
      const pieces = [];
      for await (const chunk of await models.generateContentStream({ model, contents: "Count" })) {
        if (chunk.text) pieces.push(chunk.text);
      }
      return joined(pieces);
    },
    tools: async () => {
      const contents = [{ role: "user", parts: [{ text: "How is the weather?" }] }];
      const functionDeclarations = [{ name: "get_weather", parametersJsonSchema: CITY }];
      const config = { tools: [{ functionDeclarations }] };
      const parts = [];
      for await (const chunk of await models.generateContentStream({ model, contents, config })) {
        parts.push(...(chunk.candidates?.[0].content?.parts ?? []));
      }
      const call = parts.find((part) => part.functionCall).functionCall;
      const response = { name: call.name, id: call.id, response: { output: "sunny" } };
      contents.push({ role: "model", parts }, { role: "user", parts: [{ functionResponse: response }] });
      return { calls: [{ name: call.name, arguments: call.args }], answer: (await ask(contents, config)).text };
    },
    structured: async () => {
      const config = { responseMimeType: "application/json", responseJsonSchema: TRIP };
      return JSON.parse((await ask("Plan a trip, as JSON", config)).text);
    },
    reasoning: async () => {
      const answer = await ask("Hi", { thinkingConfig: { includeThoughts: true } });
      return answer.candidates[0].content.parts.find((part) => part.thought)?.text;
    },
    errors: async () => ({
      refused: await failure(() => ask("Bad")),
      broken: await broken(async function* () {
        for await (const chunk of await models.generateContentStream({ model, contents: "Break" })) yield chunk.text ?? "";
      }),
    }),
    retries: async () => (await ask("Fail once")).text,
    embeddings: async () => {
      const contents = ["a cat sat", "a cat sat", "prices of steel"];
      const config = { outputDimensionality: 64 };
      const { embeddings } = await models.embedContent({ model: "gemini-embedding-001", contents, config });
      const vectors = embeddings.map((each) => each.values);
      return { lengths: vectors.map((each) => each.length), same: String(vectors[0]) === String(vectors[1]) };
    },
  };
}

await report({ "google-node.gemini": gemini("google-node.gemini", "gemini-2.5-flash") });
