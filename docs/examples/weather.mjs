// The client under test: it tries again when the provider is busy.

export async function weather(baseURL, city) {
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(`${baseURL}/chat/completions`, {
      method: "POST",
      headers: { authorization: "Bearer sk-any", "content-type": "application/json" },
      body: JSON.stringify({
        model: "gpt-4o-mini",
        messages: [{ role: "user", content: `Weather in ${city}?` }],
      }),
    });
    if (response.ok) return (await response.json()).choices[0].message.content;
    if (![429, 503].includes(response.status) || attempt === 3) throw new Error(`status ${response.status}`);
  }
}
