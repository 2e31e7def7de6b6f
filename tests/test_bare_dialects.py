"""Dialects as a package inherits them, with nothing of their own: requests are read, refused and answered."""

from typing import Annotated, Any, ClassVar

import pytest
from pydantic import AliasChoices, BaseModel, Field

from emulator.dialects.base import Dialect, ProviderError
from emulator.dialects.chat_completions import ChatCompletions
from emulator.dialects.generate_content import GenerateContent
from emulator.dialects.messages import Messages
from emulator.dialects.parameters import ignored, ignored_in
from emulator.dialects.responses import Responses
from emulator.providers.anthropic import Anthropic
from emulator.providers.base import Operation, Provider
from emulator.reply import Choice, Completion, Text, Thought, Usage
from emulator.request import Controls, HttpRequest, Message, ModelRequest, ToolCall

HI = [{"role": "user", "content": "Hi"}]


class Chat(ChatCompletions[Any, Any]):
    dialect = "chat"


class Content(GenerateContent[Any]):
    dialect = "content"


class Blocks(Messages[Any]):
    dialect = "blocks"


class Items(Responses[Any]):
    dialect = "items"


class Vendor(Provider):
    name = "vendor"
    title = "Vendor"
    document = "none"
    dialects: ClassVar = {each.dialect: each for each in (Chat, Content, Blocks, Items)}
    operations = tuple([Operation(name, "POST", f"/{name}", "", dialect=name) for name in dialects])
    errors: ClassVar = Anthropic.errors

    def error_body(self, row: Any, request_id: str) -> Any:
        return {"wrong": row.message}


def spoken(name: str) -> Dialect[Any]:
    return Vendor().speaking(name)


def http(name: str, body: bytes) -> HttpRequest:
    return HttpRequest("vendor", "POST", f"/{name}", {}, "", body, operation=name, dialect=name)


def asked(name: str) -> ModelRequest:
    return ModelRequest(http(name, b"{}"), "m", (Message("user", "Hi"),), False, Controls(), "k", {})


def completion(*blocks: Any) -> Completion:
    return Completion("one", 1, "m", (Choice(0, blocks, "stop"),), Usage(1, 2, 3))


def test_a_chat_that_reads_no_parameter_is_answered() -> None:
    request = spoken("chat").parse(http("chat", b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'), "k")
    assert (request.model, request.messages, request.controls) == ("m", (Message("user", "Hi"),), Controls())
    (choice,) = spoken("chat").body(completion(Text("Hello")), request)["choices"]
    assert choice["message"]["content"] == "Hello"


def test_a_body_that_is_no_json_is_a_bad_request() -> None:
    with pytest.raises(ProviderError) as caught:
        spoken("content").parse(http("content", b"{"), "k")
    reply = caught.value.reply
    assert (reply.name, str(reply.message)[:30]) == ("bad_request", "Invalid JSON payload received.")


def test_a_call_of_a_function_has_no_id() -> None:
    body = spoken("content").body(completion(ToolCall("look", '{"at":"it"}', "c")), asked("content"))
    (part,) = body["candidates"][0]["content"]["parts"]
    assert part["functionCall"] == {"name": "look", "args": {"at": "it"}}


@pytest.mark.parametrize("signature", ["", "signed"])
def test_a_thought_has_the_signature_of_its_reply(signature: str) -> None:
    body = spoken("blocks").body(completion(Thought("Hm.", signature=signature), Text("Hello")), asked("blocks"))
    assert body["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": signature},
        {"type": "text", "text": "Hello"},
    ]


def test_a_response_repeats_nothing_of_its_request() -> None:
    body = spoken("items").body(completion(Text("Hello")), asked("items"))
    assert (body["status"], body["output"][0]["content"][0]["text"]) == ("completed", "Hello")
    assert not body.keys() & {"instructions", "tools", "temperature"}


class Body(BaseModel):
    most: int | None = Field(None, validation_alias=AliasChoices("max_tokens", "maxTokens"))
    tone: Annotated[str | None, ignored()] = Field(None, validation_alias=AliasChoices("tone", "toneOfVoice"))


def test_a_parameter_has_all_of_its_names() -> None:
    assert ignored_in(Body, {"max_tokens": 1, "maxTokens": 2, "toneOfVoice": "dry", "tone": "", "odd": 3}) == (
        "toneOfVoice",
        "tone",
        "odd",
    )
