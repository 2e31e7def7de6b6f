// The least that an exam asks for: the prompt on stdin, the answer on stdout.
import { openai } from "@ai-sdk/openai";
import { streamText } from "ai";
import { readFileSync } from "node:fs";

const { textStream } = streamText({ model: openai.chat("gpt-4o-mini"), prompt: readFileSync(0, "utf8") });
for await (const text of textStream) process.stdout.write(text);
