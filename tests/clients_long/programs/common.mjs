// What every program here needs: its base URLs, the question with a tool, and the report.

export const origin = process.argv[2];

/** The base URL of a row, which has a namespace of its own. */
export const base = (row, path) => `${origin}/@${row}${path}`;

export const KEY = "sk-test";

export const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

export const TRIP = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};

/** What the pieces of a stream come to. */
export const joined = (pieces) => ({ text: pieces.join(""), comes_in_pieces: pieces.length > 1 });

const REFUSED = /This is refused\./;

/** How something failed: its status, and the provider's message if it says it. Fails if it did not. */
export async function failure(work) {
  try {
    await work();
  } catch (error) {
    const [said] = String(error.message).match(REFUSED) ?? [String(error.message)];
    return { status: error.status ?? error.statusCode ?? null, message: said };
  }
  throw new Error("it did not fail");
}

/** Whether a stream that breaks fails, after what it gave. */
export async function broken(stream) {
  const pieces = [];
  try {
    for await (const piece of stream()) pieces.push(piece);
  } catch {
    return { begins: pieces.join("").slice(0, 13), raises: true };
  }
  return { begins: pieces.join("").slice(0, 13), raises: false };
}

/** Runs every case of every row, one after the other, and prints what each saw. */
export async function report(rows) {
  const seen = {};
  for (const [row, cases] of Object.entries(rows)) {
    seen[row] = {};
    for (const [name, work] of Object.entries(cases)) {
      try {
        seen[row][name] = (await work()) ?? null;
      } catch (error) {
        seen[row][name] = { failed: `${error.name}: ${error.message}`, where: String(error.stack).slice(0, 1500) };
      }
    }
  }
  process.stdout.write(JSON.stringify(seen) + "\n");
}
