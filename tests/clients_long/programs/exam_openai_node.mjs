// The least that an exam asks for: the prompt on stdin, the answer on stdout.
import OpenAI from "openai";
import { readFileSync } from "node:fs";
const messages = [{ role: "user", content: readFileSync(0, "utf8") }];
for await (const part of await new OpenAI().chat.completions.create({ model: "gpt-4o-mini", messages, stream: true })) {
  process.stdout.write(part.choices[0]?.delta.content ?? "");
}
