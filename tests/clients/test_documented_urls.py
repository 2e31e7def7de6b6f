"""The documents' own samples as they are printed, and the clients that people use, with documented https URLs, under
`emulator run --intercept`. What a sample leaves open is filled in: the key that it reads from its environment."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from runner import Ran, run

from emulator.resources import folder

FIXTURES = folder("fixtures")
ANSWER = "Quantum mechanics is the branch of physics that studies the microscopic world..."
WHO = "I'm DeepSeek-R1, an AI assistant created by DeepSeek. How can I help you today?"
SEREVIX = "https://gateway.serevixai.ai/v1"
BODY = {
    "model": "deepseek-v3",
    "messages": [{"role": "user", "content": "Hello, can you explain quantum mechanics to me?"}],
}


def missing(what: str) -> None:
    """Skips a test, where that is allowed."""
    if os.environ.get("EMULATOR_REQUIRE_ALL") == "1":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def intercepted(*command: str) -> Ran:
    """A command that ends well, after exactly one request that a rule answered."""
    if shutil.which(command[0]) is None:
        missing(command[0])
    done = run("--intercept", "--speed", "max", "--", *command)
    assert (done.code, done.report["refused_hosts"], done.report["distrusting"]) == (0, [], {}), done.err
    return done


@pytest.mark.parametrize("name", ["cloudsway/hi", "maxtoken/who_are_you", "serevix/quantum"])
def test_curl_samples_run_as_printed(name: str) -> None:
    done = intercepted("sh", str(FIXTURES / name / "sample.sh"))
    assert "choices" in json.loads(done.out)
    ((provider, answers),) = done.report["providers"].items()
    assert provider == name.split("/")[0]
    assert [answer.split()[0] for answer in answers] == ["rule"]


def test_the_curl_sample_of_nadles_needs_the_name_of_a_model() -> None:
    """As printed, curl reads `{model_name}` as a pattern and sends `model_name`, which is no model."""
    sample = FIXTURES / "nadles/short_hi/sample.sh"
    assert json.loads(intercepted("sh", str(sample)).out) == {"message": "Forbidden"}
    filled = sample.read_text().replace("{model_name}", "deepseek-r1-distill-llama-70b-websearch")
    done = intercepted("sh", "-c", filled)
    assert done.report["providers"] == {"nadles": {"rule nadles-short-hi": 1}}


def test_the_python_sample_with_openai_runs_as_printed() -> None:
    assert intercepted(sys.executable, str(FIXTURES / "serevix/quantum/sample.py")).out == f"{ANSWER}\n"


def test_the_python_sample_with_requests_runs_with_one_name() -> None:
    """The document prints `false`, which Python does not know: the sample raises a NameError before it asks."""
    sample = FIXTURES / "maxtoken/who_are_you/sample.py"
    printed = run("--intercept", "--", sys.executable, str(sample))
    assert (printed.code, "NameError: name 'false'" in printed.err) == (1, True)
    done = intercepted(sys.executable, "-c", f"false = False\n{sample.read_text()}")
    assert json.loads(done.out)["choices"][0]["message"]["content"] == WHO


def test_the_node_sample_runs_as_printed() -> None:
    done = intercepted("node", str(FIXTURES / "maxtoken/who_are_you/sample.js"))
    assert "object: 'chat.completion'" in done.out
    assert done.report["providers"] == {"maxtoken": {"rule maxtoken-who-are-you": 1}}


def test_the_go_sample_runs_without_its_unused_import(tmp_path: Path) -> None:
    """The document imports a package that it does not use, which Go refuses to compile."""
    if shutil.which("go") is None:
        missing("go")
    text = (FIXTURES / "maxtoken/who_are_you/sample.go").read_text()
    sample = tmp_path / "sample.go"
    sample.write_text(text.replace('"encoding/json"', '_ "encoding/json"'))
    done = intercepted("go", "run", str(sample))
    assert json.loads(done.out)["choices"][0]["message"]["content"] == WHO


JAVA = """
import java.net.URI;
import java.net.http.*;
public class Sample {
  public static void main(String[] arguments) throws Exception {
    var request = HttpRequest.newBuilder(URI.create("URL/chat/completions"))
      .header("Authorization", "Bearer sk-any").header("Content-Type", "application/json")
      .POST(HttpRequest.BodyPublishers.ofString(arguments[0])).build();
    System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body());
  }
}
"""


def test_java_s_http_client(tmp_path: Path) -> None:
    if shutil.which("javac") is None:
        missing("javac")
    sample = tmp_path / "Sample.java"
    sample.write_text(JAVA.replace("URL", SEREVIX))
    done = intercepted("java", "-XX:TieredStopAtLevel=1", str(sample), json.dumps(BODY))
    assert json.loads(done.out)["choices"][0]["message"]["content"] == ANSWER


PYTHON = {
    "requests": "import requests\nprint(requests.post(URL, json=BODY, headers=HEADERS).text)",
    "httpx": "import httpx\nprint(httpx.post(URL, json=BODY, headers=HEADERS).text)",
    "aiohttp": "import aiohttp, asyncio\nasync def main():\n"
    "  async with aiohttp.ClientSession(trust_env=True) as session:\n"
    "    async with session.post(URL, json=BODY, headers=HEADERS) as answer: print(await answer.text())\n"
    "asyncio.run(main())",
}


@pytest.mark.parametrize("client", PYTHON)
def test_python_s_clients(client: str) -> None:
    given = f"URL, BODY, HEADERS = '{SEREVIX}/chat/completions', {BODY!r}, {{'Authorization': 'Bearer x'}}"
    done = intercepted(sys.executable, "-c", f"{given}\n{PYTHON[client]}")
    assert json.loads(done.out)["choices"][0]["message"]["content"] == ANSWER


NODE = """
import { createRequire } from 'node:module';
import http from 'node:http';
import https from 'node:https';
const get = (module, url) => new Promise((resolve) => {
  module.get(url, { headers: { authorization: 'Bearer x' } }, (answer) => {
    answer.resume();
    answer.on('end', () => resolve(answer.statusCode));
  }).on('error', (error) => resolve(error.message));
});
console.log(await get(https, 'https://api.deepseek.com/models'), await get(http, 'http://api.deepseek.com/models'));
console.log(await get(https, 'https://elsewhere.example'));
console.log(await fetch('https://elsewhere.example').catch((error) => error.cause.message));
"""


def test_node_s_modules_and_what_they_may_not_reach(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        missing("node")
    program = tmp_path / "program.mjs"
    program.write_text(NODE)
    done = run("--intercept", "--", "node", str(program))
    words = "elsewhere.example is not emulated and was blocked. --allow elsewhere.example lets it through"
    assert done.out.splitlines() == ["200 200", words, words]
    assert done.report["refused_hosts"] == ["elsewhere.example"]


def test_openai_for_node(tmp_path: Path) -> None:
    modules = os.environ.get("EMULATOR_NODE_MODULES", "")
    if shutil.which("node") is None or not Path(modules, "openai").is_dir():
        missing("openai for Node (EMULATOR_NODE_MODULES names its folder)")
    (tmp_path / "node_modules").symlink_to(modules)
    program = tmp_path / "program.mjs"
    program.write_text(
        "import OpenAI from 'openai';\n"
        f"const client = new OpenAI({{apiKey: 'sk-any', baseURL: '{SEREVIX}'}});\n"
        f"const stream = await client.chat.completions.create({{stream: true, ...{json.dumps(BODY)}}});\n"
        "let text = '';\nfor await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? '';\n"
        "console.log(text);\n"
    )
    assert intercepted("node", str(program)).out == f"{ANSWER}\n"
