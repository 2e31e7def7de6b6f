// The same request as code to paste: curl, Python, Node.

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const usesSdk = (request) => request.method === "POST" && /\/chat\/completions$/.test(request.url) && request.authorization.startsWith("Bearer ");

export function curl(request) {
  const isPlain = request.method === "GET" || (request.method === "POST" && request.body);
  const lines = [`curl -N ${quoted(request.url)}`, ...(isPlain ? [] : [`-X ${request.method}`])];
  for (const [name, value] of Object.entries(request.headers)) lines.push(`-H ${quoted(`${name}: ${value}`)}`);
  const body = parsed(request);
  if (request.body) lines.push(`-d ${quoted(body === null ? request.body : JSON.stringify(body))}`);
  return lines.join(" \\\n  ");
}

function parsed(request) {
  try {
    return JSON.parse(request.body);
  } catch {
    return null;
  }
}

export function python(request) {
  const body = parsed(request);
  if (usesSdk(request) && body) {
    const args = Object.entries(body).map(([name, value]) => `    ${name}=${literal(value)},`).join("\n");
    const base = request.url.replace(/\/chat\/completions$/, "");
    const reading = body.stream ? "for chunk in answer:\n    print(chunk.choices[0].delta.content or \"\", end=\"\")" : "print(answer.choices[0].message.content)";
    return `from openai import OpenAI\n\nclient = OpenAI(base_url=${literal(base)}, api_key=${literal(request.authorization.slice(7))})\nanswer = client.chat.completions.create(\n${args}\n)\n${reading}`;
  }
  const args = [literal(request.url), `headers=${literal(request.headers)}`, ...(request.body ? [`content=${literal(request.body)}`] : []), "timeout=None"];
  return `import httpx\n\nwith httpx.stream(${literal(request.method)}, ${args.join(", ")}) as answer:\n    for text in answer.iter_text():\n        print(text, end="")`;
}

/** A value as Python writes it; JSON's words become Python's. */
export function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${literal(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}

export function node(request) {
  const body = parsed(request);
  if (usesSdk(request) && body) {
    const base = request.url.replace(/\/chat\/completions$/, "");
    const reading = body.stream ? "for await (const chunk of answer) process.stdout.write(chunk.choices[0]?.delta?.content ?? \"\");" : "console.log(answer.choices[0].message.content);";
    return `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: ${JSON.stringify(base)}, apiKey: ${JSON.stringify(request.authorization.slice(7))} });\nconst answer = await client.chat.completions.create(${JSON.stringify(body, null, 2)});\n${reading}`;
  }
  const init = { method: request.method, headers: request.headers, ...(request.body ? { body: request.body } : {}) };
  return `const answer = await fetch(${JSON.stringify(request.url)}, ${JSON.stringify(init, null, 2)});\nfor await (const part of answer.body.pipeThrough(new TextDecoderStream())) process.stdout.write(part);`;
}
