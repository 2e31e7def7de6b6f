"""The official SDK google-genai, unmodified, against the providers that speak generate content."""

import asyncio
import enum
from collections.abc import Iterator
from typing import Any

import certifi
import pydantic
import pytest
from google import genai
from google.genai import errors, types

from emulator import Emulator
from emulator.interception.environment import base_urls
from emulator.providers import PROVIDERS
from emulator.providers.gemini_models import CHAT_MODELS, MODELS

MODEL = "gemini-2.5-flash"
RULES: list[dict[str, Any]] = [
    {"match": {"tool_result": {"name": "get_weather"}}, "reply": {"content": "It is sunny in Bern."}},
    {
        "match": {"prompt": {"contains": "weather"}},
        "reply": {
            "reasoning": "I need the weather.",
            "content": "Let me look.",
            "tool_calls": [{"name": "get_weather", "arguments": {"city": "Bern"}}],
        },
    },
    {"match": {"prompt": "Hi"}, "reply": {"reasoning": "They greet.", "content": "Hé, you 😊"}},
    {"match": {"prompt": "Count", "turn": 2}, "reply": {"content": "Counting again."}},
    {"match": {"prompt": "Count"}, "reply": {"content": "one two three four five six"}},
    {"match": {"prompt": "Busy"}, "error": "overloaded"},
    {"match": {"prompt": "Fail once"}, "error": "overloaded", "times": 1},
    {"match": {"prompt": "Fail once"}, "reply": {"content": "There."}},
    {"match": {"prompt": "Bad"}, "error": "content_policy"},
    {"match": {"prompt": "Unsafe"}, "reply": {"content": "", "finish_reason": "content_filter"}},
]


class Mountain(pydantic.BaseModel):
    name: str
    height: int
    country: str | None


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.fixture(scope="module", autouse=True)
def few_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each client loads all root certificates three times, which takes longer than a test; none of them is needed."""
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        yield


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator({"rules": RULES, "unmatched": "generate"}) as running:
        yield running


def client_of(emulator: Emulator, path: str = "", key: str = "AIzaSomeKey", **options: Any) -> genai.Client:
    base = emulator.url("gemini") + path
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base, timeout=30_000, **options))


@pytest.fixture
def client(emulator: Emulator) -> Iterator[genai.Client]:
    with client_of(emulator) as made:
        yield made


def thinking(**members: Any) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True), **members)


def said(response: types.GenerateContentResponse) -> list[tuple[str | None, bool]]:
    assert response.candidates is not None
    content = response.candidates[0].content
    assert content is not None
    return [(part.text, bool(part.thought)) for part in content.parts or []]


def test_a_whole_answer(client: genai.Client) -> None:
    answer = client.models.generate_content(model=MODEL, contents="Hi", config=thinking())
    assert said(answer) == [("They greet.", True), ("Hé, you 😊", False)]
    assert answer.text == "Hé, you 😊"
    assert (answer.model_version, len(answer.response_id or "")) == (MODEL, 23)
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.thoughts_token_count, usage.candidates_token_count) == (1, 3, 6)
    assert usage.total_token_count == 10


def test_thoughts_are_counted_but_shown_only_on_request(client: genai.Client) -> None:
    answer = client.models.generate_content(model=MODEL, contents="Hi")
    assert said(answer) == [("Hé, you 😊", False)]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.thoughts_token_count == 3


def test_a_stream_adds_up_to_the_whole_answer(client: genai.Client) -> None:
    prompt = "Tell me about the sea in many words"
    whole = client.models.generate_content(model=MODEL, contents=prompt)
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=prompt))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert len(chunks) > 1
    assert chunks[-1].usage_metadata == whole.usage_metadata
    totals = [chunk.usage_metadata.total_token_count or 0 for chunk in chunks if chunk.usage_metadata is not None]
    assert totals == sorted(totals)
    assert len(totals) == len(chunks)
    reasons = [chunk.candidates[0].finish_reason for chunk in chunks if chunk.candidates]
    assert reasons == [None] * (len(chunks) - 1) + [types.FinishReason.STOP]


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
def test_asynchronously(emulator: Emulator) -> None:
    async def ask() -> list[str | None]:
        client = client_of(emulator).aio
        stream = await client.models.generate_content_stream(model=MODEL, contents="Hi")
        pieces = [chunk.text async for chunk in stream]
        whole = await client.models.generate_content(model=MODEL, contents="Hi")
        await client.aclose()
        return [whole.text, *pieces]

    assert asyncio.run(ask()) == ["Hé, you 😊"] * 2


@pytest.mark.parametrize("model", [MODEL, "gemini-3.8-flash"])
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
def test_a_function_is_called_and_its_result_answered(client: genai.Client, streams: bool, model: str) -> None:
    declared = {
        "name": "get_weather",
        "description": "The weather at a place",
        "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
    }
    tools = types.Tool(function_declarations=[types.FunctionDeclaration(**declared)])
    config = thinking(tools=[tools])
    contents: list[Any] = [types.UserContent("What is the weather in Bern?")]

    def ask() -> list[types.Part]:
        if not streams:
            answers = [client.models.generate_content(model=model, contents=contents, config=config)]
        else:
            answers = list(client.models.generate_content_stream(model=model, contents=contents, config=config))
        return [
            part
            for answer in answers
            for each in answer.candidates or []
            if each.content is not None
            for part in each.content.parts or []
        ]

    parts = ask()
    assert [part.text for part in parts[:2]] == ["I need the weather.", "Let me look."]
    call = parts[2].function_call
    assert call is not None
    assert (call.name, call.args, bool(call.id)) == ("get_weather", {"city": "Bern"}, model != MODEL)
    assert parts[2].thought_signature
    result = types.FunctionResponse(id=call.id, name="get_weather", response={"result": "sunny"})
    contents += [types.ModelContent(parts=parts), types.UserContent(types.Part(function_response=result))]
    assert "".join(part.text or "" for part in ask() if not part.thought) == "It is sunny in Bern."


def test_a_python_function_is_called_automatically(client: genai.Client) -> None:
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """The weather at a place."""
        asked.append(city)
        return "sunny"

    config = types.GenerateContentConfig(tools=[get_weather])
    answer = client.models.generate_content(model="gemini-3.8-flash", contents="The weather in Bern?", config=config)
    assert (answer.text, asked) == ("It is sunny in Bern.", ["Bern"])


def test_gemini_3_wants_its_signatures_back(client: genai.Client) -> None:
    call = types.FunctionCall(name="get_weather", args={})
    result = types.FunctionResponse(name="get_weather", response={"result": "sunny"})

    def ask(signature: bytes | None) -> str | None:
        called = types.Part(function_call=call, thought_signature=signature)
        contents = [
            types.UserContent("The weather?"),
            types.ModelContent(called),
            types.UserContent(types.Part(function_response=result)),
        ]
        return client.models.generate_content(model="gemini-3.8-flash", contents=contents).text

    with pytest.raises(errors.ClientError, match="Function call is missing a thought_signature in functionCall parts"):
        ask(None)
    with pytest.raises(errors.ClientError, match="Corrupted thought signature"):
        ask(b"not-signed")
    assert ask(b"\x12\x04abcd") == "It is sunny in Bern."


def test_structured_output_follows_a_model_a_schema_and_an_enum(client: genai.Client) -> None:
    def ask(**members: Any) -> Any:
        config = types.GenerateContentConfig(**members)
        return client.models.generate_content(model=MODEL, contents="Name a mountain", config=config)

    as_json = {"response_mime_type": "application/json"}
    by_model = ask(**as_json, response_schema=Mountain).parsed
    assert isinstance(by_model, Mountain)
    listed = ask(**as_json, response_schema=list[Mountain]).parsed
    assert [type(each) for each in listed] == [Mountain] * len(listed)
    by_json_schema = ask(**as_json, response_json_schema=Mountain.model_json_schema())
    assert isinstance(Mountain.model_validate_json(by_json_schema.text), Mountain)
    color = ask(response_mime_type="text/x.enum", response_schema=Color)
    assert color.parsed in list(Color)


def test_limits_stops_and_candidates_are_honored(client: genai.Client) -> None:
    def ask(**members: Any) -> types.GenerateContentResponse:
        config = types.GenerateContentConfig(**members)
        return client.models.generate_content(model=MODEL, contents="Count", config=config)

    def reported(answer: types.GenerateContentResponse) -> list[Any]:
        return [
            ((each.content.parts or [])[0].text if each.content else None, each.finish_reason)
            for each in answer.candidates or []
        ]

    stop, limit = types.FinishReason.STOP, types.FinishReason.MAX_TOKENS
    assert reported(ask(max_output_tokens=2)) == [("one two", limit)]
    assert reported(ask(stop_sequences=["three", "five"])) == [("one two ", stop)]
    assert reported(ask(candidate_count=2)) == [("one two three four five six", stop)] * 2
    probable = (ask(response_logprobs=True, logprobs=2, max_output_tokens=2).candidates or [])[0]
    assert probable.logprobs_result is not None
    chosen, top = probable.logprobs_result.chosen_candidates, probable.logprobs_result.top_candidates
    assert [each.token for each in chosen or []] == ["one", " two"]
    assert [len(each.candidates or []) for each in top or []] == [2, 2]


def test_a_chat_remembers(client: genai.Client) -> None:
    chat = client.chats.create(model=MODEL, config=types.GenerateContentConfig(system_instruction="Be brief."))
    assert chat.send_message("Hi").text == "Hé, you 😊"
    assert chat.send_message("Count").text == "Counting again."


def test_errors_are_raised_with_status_and_message(client: genai.Client, emulator: Emulator) -> None:
    def ask(prompt: str, model: str = MODEL) -> Any:
        return client.models.generate_content(model=model, contents=prompt)

    with pytest.raises(errors.ServerError) as busy:
        ask("Busy")
    assert (busy.value.code, busy.value.status) == (503, "UNAVAILABLE")
    assert busy.value.message == "The model is overloaded. Please try again later."
    with pytest.raises(errors.ServerError, match="UNAVAILABLE"):
        list(client.models.generate_content_stream(model=MODEL, contents="Busy"))
    with pytest.raises(errors.ClientError, match="models/gemini-9 is not found") as unknown:
        ask("Hi", "gemini-9")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    config = types.GenerateContentConfig(cached_content="cachedContents/one")
    with pytest.raises(errors.ClientError, match="CachedContent not found"):
        client.models.generate_content(model=MODEL, contents="Hi", config=config)


def test_the_sdk_retries_when_it_is_asked_to(emulator: Emulator) -> None:
    retrying = types.HttpRetryOptions(attempts=2, initial_delay=0.01, jitter=0)
    with client_of(emulator, retry_options=retrying) as client:
        assert client.models.generate_content(model=MODEL, contents="Fail once").text == "There."


def test_a_blocked_prompt_and_a_blocked_answer_have_no_text(client: genai.Client) -> None:
    blocked = client.models.generate_content(model=MODEL, contents="Bad")
    assert blocked.prompt_feedback is not None
    assert (blocked.candidates, blocked.prompt_feedback.block_reason) == (None, types.BlockedReason.PROHIBITED_CONTENT)
    (chunk,) = client.models.generate_content_stream(model=MODEL, contents="Bad")
    assert chunk.prompt_feedback == blocked.prompt_feedback
    unsafe = client.models.generate_content(model=MODEL, contents="Unsafe")
    assert unsafe.candidates is not None
    (candidate,) = unsafe.candidates
    assert (candidate.content, candidate.finish_reason, unsafe.text) == (None, types.FinishReason.SAFETY, None)
    assert candidate.safety_ratings is not None
    assert candidate.safety_ratings[0].blocked


def test_tokens_are_counted(client: genai.Client) -> None:
    counted = client.models.count_tokens(model=MODEL, contents="The quick brown fox jumps over the lazy dog.")
    assert counted.total_tokens == 10


def test_texts_are_embedded(client: genai.Client) -> None:
    model = "gemini-embedding-001"
    config = types.EmbedContentConfig(output_dimensionality=768)
    texts: Any = ["the red house", "the red car", "quantum physics"]
    answer = client.models.embed_content(model=model, contents=texts, config=config)
    vectors = [each.values or [] for each in answer.embeddings or []]
    assert [len(vector) for vector in vectors] == [768] * 3

    def likeness(one: int, other: int) -> float:
        return sum(a * b for a, b in zip(vectors[one], vectors[other], strict=True))

    assert likeness(0, 0) == pytest.approx(1)
    assert likeness(0, 1) > likeness(0, 2) + 0.3
    (plain,) = client.models.embed_content(model=model, contents=texts[0]).embeddings or []
    assert len(plain.values or []) == 3072


def test_models_are_listed_page_by_page_and_one_by_one(client: genai.Client) -> None:
    pager = client.models.list(config=types.ListModelsConfig(page_size=5))
    assert [(model.name or "").removeprefix("models/") for model in pager] == list(MODELS)
    one = client.models.get(model=MODEL)
    assert (one.name, one.input_token_limit, one.display_name) == (f"models/{MODEL}", 1_048_576, "Gemini 2.5 Flash")
    with pytest.raises(errors.ClientError, match="NOT_FOUND"):
        client.models.get(model="gemini-9")


@pytest.mark.parametrize("model", CHAT_MODELS)
def test_every_model_answers_without_a_scenario(model: str, client: genai.Client) -> None:
    answer = client.models.generate_content(model=model, contents="Tell me about the sea")
    assert answer.text
    assert answer.model_version == model


def test_the_variables_of_run_lead_the_sdk_to_the_emulator(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in base_urls(emulator.origin, PROVIDERS, None, {}).set.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GOOGLE_API_KEY")  # either key would do; the SDK warns of two
    with genai.Client() as client:
        assert client.models.generate_content(model=MODEL, contents="Hi").text == "Hé, you 😊"


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_either_version_answers(version: str, emulator: Emulator) -> None:
    with client_of(emulator, api_version=version) as client:
        assert client.models.generate_content(model=MODEL, contents="Hi").text == "Hé, you 😊"


@pytest.mark.parametrize("path", ["/v1", ""], ids=["documented", "root"])
def test_serevix_passes_gemini_on(path: str, emulator: Emulator) -> None:
    options = types.HttpOptions(base_url=emulator.url("serevix") + path, api_version="v1beta", timeout=30_000)
    with genai.Client(api_key="sk-serevix", http_options=options) as client:
        assert client.models.generate_content(model=MODEL, contents="Hi").text == "Hé, you 😊"
        pieces = client.models.generate_content_stream(model=MODEL, contents="Hi")
        assert "".join(piece.text or "" for piece in pieces) == "Hé, you 😊"
        with pytest.raises(errors.ServerError, match="503"):
            client.models.generate_content(model=MODEL, contents="Busy")
