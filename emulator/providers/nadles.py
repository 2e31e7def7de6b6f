"""deadlock on the Nadles gateway: `POST /{model_name}/completion`, its own envelope, web search, sorted keys.

Requests and answers are documented; the stream and the error bodies are inferred.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import orjson

from emulator import tokens
from emulator.dialects.base import PIECE, Dialect
from emulator.dialects.chat_completions import ChatCompletions
from emulator.dialects.chat_input import ChatBody, Many, MessageBody
from emulator.dialects.parameters import SAMPLING, ignored
from emulator.dialects.serde import Range
from emulator.providers.base import (
    Allotment,
    ErrorSpec,
    NameList,
    Operation,
    Price,
    Settings,
    per_million,
    provider_error,
)
from emulator.providers.deepseek_models import ServesDeepSeek
from emulator.reply import Choice, Completion, Reply, Source
from emulator.request import Controls, HttpRequest, ModelRequest
from emulator.wire import FrameRun, Part, PlannedBody

MODEL = "deepseek-r1-distill-llama-70b-websearch"
MODEL_IN_ANSWERS = "deepseek-ai/DeepSeek-R1-Distill-Llama-70B"
OTHER_MODEL = "deepseek-v3"
WEIGHTS = {MODEL: MODEL_IN_ANSWERS, OTHER_MODEL: "deepseek-ai/DeepSeek-V3"}
"""The name of each model in answers: that of its weights, not of its route."""
PLANS: Mapping[str, tuple[tuple[str, ...], Price, int | None]] = {
    "metered": ((MODEL,), per_million("1.16", "1.16", "1.16"), None),
    "one_off": ((MODEL, OTHER_MODEL), per_million("3.938", "3.938", "3.938"), 1_000_000),
    "free": ((MODEL, OTHER_MODEL), per_million("0", "0", "0"), 4_000),
}
"""The models, price and tokens of each product: metered monthly, paid once, or free every month."""
MAX_TOKENS = 2048


class NadlesMessage(MessageBody):
    role: Literal["user", "assistant", "system"]
    content: str


class NadlesBody(ChatBody):
    model: Annotated[str, ignored("the path names the model")] = ""
    messages: Many[NadlesMessage]
    max_tokens: int = MAX_TOKENS
    temperature: Annotated[float, SAMPLING] = 0.7
    top_p: Annotated[float, SAMPLING] = 0.9
    stream: bool = False
    search_web: bool = False


class NadlesSettings(Settings):
    plan: Literal["metered", "one_off", "free"] = "metered"
    """The subscribed product, which determines the models, the price and the number of tokens."""
    plan_tokens: int | None = None
    """The tokens of each key: in total with `one_off` (null: 1,000,000), otherwise per month (`free`: 4,000)."""
    quota_crossing: Literal["serve", "refuse"] = "serve"
    """What happens to the call that crosses the limit: it is served and the next one is rejected, or it is itself
    rejected when its answer would be complete.
    """
    gateway_buffers: bool = False
    """Whether the gateway holds a stream back until it ends, to count its tokens, and then sends everything at once."""
    models: NameList | None = None
    """The models of the active plan; all others are forbidden. Null: the models of `plan`."""
    out_of_range: Literal["reject", "clamp", "ignore"] = "reject"
    """What to do with a number outside its range: reject it, clamp it, or replace it with the default."""
    inline_think: bool = True
    """Whether the content includes the reasoning, as `<think>…</think>`; false drops it."""
    summaries: Literal["searched", "scripted"] = "searched"
    """Whether to send a rule's summaries only if `search_web` is true, or always."""
    stream_envelope: Literal["bare", "model_response"] = "bare"
    """Whether a stream's chunks are bare or inside `{"model_response": …}`."""


class NadlesStream(ChatCompletions[NadlesBody, "Nadles"]):
    """The inferred stream: chunks of the same software, then the rest of the envelope."""

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        runs = super().stream(replace(completion, model=shown_model(completion)), request)
        if completion.choices[0].content:
            next(runs)  # no event has only the role: the first piece includes it
        yield from runs

    def text_runs(
        self, part: Part, completion: Completion, request: ModelRequest, choice: Choice
    ) -> Iterator[FrameRun]:
        pieces = tokens.pieces(choice.content)
        delta = {"content": pieces.texts[0], "role": "assistant"}
        yield self.event(part, self.chunk(completion, request, choice, delta), tokens=pieces.counts[0])
        before, after = self.around(self.chunk(completion, request, choice, {"content": PIECE}))
        yield FrameRun(part, before, pieces.escaped[1:], after, pieces.counts[1:])

    def chunk_of(self, completion: Completion, choices: list[dict[str, Any]]) -> dict[str, Any]:
        chunk = super().chunk_of(completion, choices)
        return {"model_response": chunk} if self.provider.settings.stream_envelope == "model_response" else chunk

    def core(self, native: dict[str, Any]) -> dict[str, Any]:
        inner = native.get("model_response")
        return inner if isinstance(inner, dict) else native

    def first_delta(self, choice: Choice) -> dict[str, Any]:
        return {"content": "", "role": "assistant"}

    def last_delta(self, choice: Choice) -> dict[str, Any]:
        return {}

    def waiting(self, planned: PlannedBody) -> PlannedBody:
        planned = super().waiting(planned)
        if not self.provider.settings.gateway_buffers or not planned.streamed:
            return planned
        return replace(planned, at=(planned.at[-1],) * len(planned.at))

    def tail(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        yield self.event("usage", search_and_tokens(completion))


class NadlesChat(NadlesStream):
    """Chat completions in an envelope of their own."""

    weighs_words = False
    Body = NadlesBody
    counts = ("usage", "token_info")
    ranges = (Range("temperature", 0, 1, "[0.0, 1.0]"), Range("top_p", 0, 1, "[0.0, 1.0]"))

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        # The gateway checks the plan before the origin checks the body.
        if http_request.parameters["model_name"] not in self.provider.models:
            raise provider_error("forbidden")
        return super().parse(http_request, key)

    def model_of(self, http_request: HttpRequest, body: NadlesBody) -> str:
        return http_request.parameters["model_name"]

    def validation_errors(self, body: NadlesBody) -> Iterator[str | None]:
        if not body.messages:
            yield "messages must not be empty"
        if body.max_tokens < 1 and self.provider.settings.out_of_range == "reject":
            yield "Invalid max_tokens value, max_tokens must be at least 1"
        if self.provider.settings.out_of_range == "reject":
            yield from super().validation_errors(body)

    def controls(self, body: NadlesBody) -> Controls:
        limit = body.max_tokens
        if limit < 1:  # temperature and top_p have no effect on an emulated answer
            limit = 1 if self.provider.settings.out_of_range == "clamp" else MAX_TOKENS
        return Controls(max_tokens=limit, searches=body.search_web)

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        """There is no field for reasoning, so the model writes it into its text. Without a search, there are no
        sources.
        """
        reply = reply.flat()
        if not request.controls.searches and self.provider.settings.summaries == "searched":
            reply = replace(reply, sources=())
        if reply.reasoning is None:
            return reply
        if request.model == OTHER_MODEL:  # this model doesn't think
            return replace(reply, reasoning=None)
        content = reply.content
        if self.provider.settings.inline_think:
            content = f"<think>\n{reply.reasoning}\n</think>\n\n{content}"
        return replace(reply, reasoning=None, content=content)

    def make_id(self, entropy: bytes) -> str:
        return f"chatcmpl-{entropy[:16].hex()}"

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {
            "model_response": {
                "choices": [self.choice(choice, request) for choice in completion.choices],
                "created": completion.created,
                "id": completion.id,
                "model": shown_model(completion),
                "object": "chat.completion",
            },
            **search_and_tokens(completion),
        }

    def choice(self, choice: Choice, request: ModelRequest) -> dict[str, Any]:
        return {"finish_reason": self.reason(choice), "index": choice.index, "logprobs": None,
                "message": self.message(choice)}  # fmt: skip

    def message(self, choice: Choice) -> dict[str, Any]:
        calls = self.tool_calls(choice) or None
        return {"content": choice.content, "name": None, "role": "assistant", "tool_calls": calls}


class Nadles(ServesDeepSeek[NadlesSettings]):
    """https://deadlock.p.nadles.com"""

    name = "nadles"
    title = "deadlock on Nadles"
    hosts = ("deadlock.p.nadles.com",)
    document = "deadlock: DeepSeek R1 with web search"
    auth_header = "x-billing-token: demo"
    Settings = NadlesSettings
    dialects: ClassVar[Mapping[str, type[Dialect[Any]]]] = {"chat_completions": NadlesChat}
    json_options = orjson.OPT_SORT_KEYS  # every object of the document has its keys in alphabetical order
    price = PLANS["metered"][1]  # documented: one price per token, for prompt and answer
    operations = (Operation("chat", "POST", "/{model_name}/completion", "a completion with web search"),)
    example = (
        f"/{MODEL}/completion",
        {"messages": [{"role": "user", "content": "just respond with a short hi, nothing more"}]},
    )
    sdk_note = "not for OpenAI SDKs: the path ends in /completion, and answers are wrapped in model_response"
    errors: ClassVar[Mapping[str, ErrorSpec]] = {
        "unauthorized": ErrorSpec(401, "Unauthorized"),
        "forbidden": ErrorSpec(403, "Forbidden"),
        "insufficient_balance": ErrorSpec(429, "Too Many Requests"),
        "content_policy": ErrorSpec(403, "Forbidden"),
        "rate_limited": ErrorSpec(429, "Too Many Requests", mark="public"),
        "server_error": ErrorSpec(500, "Internal Server Error", type="origin"),
        "overloaded": ErrorSpec(502, "Bad Gateway"),
        "timeout": ErrorSpec(504, "Gateway Timeout"),
        "bad_request": ErrorSpec(400, "Bad Request"),
        "model_not_found": ErrorSpec(403, "Forbidden"),
        "not_found": ErrorSpec(404, "Not Found"),
        "method_not_allowed": ErrorSpec(405, "Method Not Allowed"),
        "too_large": ErrorSpec(413, "Payload Too Large"),
    }

    def credential(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("x-billing-token")

    # The plan

    @property
    def models(self) -> tuple[str, ...]:
        """The models that a key may use."""
        given: tuple[str, ...] | None = self.settings.models
        return PLANS[self.settings.plan][0] if given is None else given

    def served_names(self) -> Sequence[str]:
        return self.models

    def price_of(self, model: str, moment: float) -> Price:
        return PLANS[self.settings.plan][1]

    @property
    def allotment(self) -> Allotment | None:
        tokens = PLANS[self.settings.plan][2] if self.settings.plan_tokens is None else self.settings.plan_tokens
        if tokens is None:
            return None
        return Allotment(tokens, self.settings.plan != "one_off", self.settings.quota_crossing == "refuse")

    def error_body(self, row: ErrorSpec, request_id: str) -> Any:
        # The gateway says `message`, the origin behind it `error`.
        return {"error": row.message} if row.type == "origin" else {"message": row.message}


def shown_model(completion: Completion) -> str:
    """Returns the name of a model in answers."""
    return WEIGHTS.get(completion.model, completion.model)


def search_and_tokens(completion: Completion) -> dict[str, Any]:
    usage = completion.usage
    return {
        "summaries": [_row(source) for source in completion.sources],
        "token_info": {
            "prompt_tokens": usage.prompt,
            "response_tokens": usage.completion,
            "total_tokens": usage.total,
        },
    }


def _row(source: Source) -> dict[str, Any]:
    return {"error": source.error, "status": source.status, "summary": source.summary, "url": source.url}
