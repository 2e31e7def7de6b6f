"""DeepSeek's fill-in-the-middle (FIM) completions: the model writes the text between a prompt and a suffix.

Requests and answers are public (api-docs.deepseek.com, create-completion). It is inferred that the stream's frames
differ from those of a chat only in their choices.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import isnan, nan
from typing import TYPE_CHECKING, Annotated, Any

from emulator import tokens
from emulator.dialects.base import DONE, PIECE
from emulator.dialects.chat_completions import ChatCompletions
from emulator.dialects.chat_input import ChatBody, Stop, StreamOptions, Strict, read_stop
from emulator.dialects.parameters import SAMPLING
from emulator.dialects.serde import Range, first
from emulator.reply import Choice, Completion, Reply, TokenLogprob
from emulator.request import Controls, HttpRequest, Message, ModelRequest
from emulator.wire import FrameRun, single

if TYPE_CHECKING:
    from emulator.providers.deepseek import DeepSeek  # noqa: F401  # a type argument below


MAX_TOKENS = 4096
MAX_LOGPROBS = 20
RANGES = (
    Range("temperature", 0, 2, "[0, 2]"),
    Range("top_p", 0, 1, "(0, 1.0]", excludes_low=True),
    Range("presence_penalty", -2, 2, "[-2, 2]"),
    Range("frequency_penalty", -2, 2, "[-2, 2]"),
    Range("max_tokens", 1, MAX_TOKENS, f"[1, {MAX_TOKENS}]"),
    Range("logprobs", 0, MAX_LOGPROBS, f"[0, {MAX_LOGPROBS}]"),
)


class FimBody(Strict):
    """Null means the same as a missing member."""

    model: str
    prompt: str
    suffix: str | None = None
    echo: bool | None = None
    logprobs: int | None = None
    max_tokens: int | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float | None, SAMPLING] = None
    top_p: Annotated[float | None, SAMPLING] = None
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None


def validation_errors(body: FimBody) -> Iterator[str | None]:
    """Yields the problems of a body whose types are right."""
    for limits in RANGES:
        yield limits.complaint(body)
    if body.stream_options is not None and not body.stream:
        yield "stream_options should be set along with stream = true"
    if isinstance(body.stop, list) and len(body.stop) > 16:
        yield "Invalid stop value, the valid range of the length of stop is [0, 16]"


def controls(body: FimBody) -> Controls:
    """Returns the parameters that shape the answer, without thinking."""
    return Controls(
        max_tokens=body.max_tokens,
        stop=read_stop(body.stop),
        logprobs=body.logprobs is not None,
        top_logprobs=body.logprobs or 0,
        thinking=False,
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
    )


class Gap(ChatCompletions[ChatBody, "DeepSeek"]):
    """Chat completions whose choices have a `text`."""

    Body = FimBody  # type: ignore[assignment]  # an endpoint without messages
    dialect = "gap"

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        """The prompt is matched and answered like a user's message."""
        vendor = self.provider
        vendor.need_json(http_request)
        body, native = vendor.read(http_request, FimBody)
        complaint = first([vendor.complaint_of_model(body.model, for_gaps=True), *validation_errors(body)])
        if complaint is not None:
            raise self.bad_request(complaint)
        messages = (Message("user", body.prompt),)
        return ModelRequest(
            http_request,
            body.model,
            messages,
            bool(body.stream),
            controls(body),
            key,
            native,
            vendor.served_model(body.model),
        )

    def adapt(self, reply: Reply, request: ModelRequest) -> Reply:
        return self.provider.adapt(reply, request)

    def make_id(self, entropy: bytes) -> str:
        return self.provider.make_id(entropy)

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return {
            **head_of(completion),
            "choices": [self.filled(completion.choices[0], echoed(request))],
            "usage": self.provider.usage(completion),
            "system_fingerprint": self.provider.fingerprint(completion),
        }

    def filled(self, choice: Choice, echoed: str) -> dict[str, Any]:
        """Returns the only choice of a whole answer. `echoed` is the prompt if the client asked to repeat it."""
        rows = None if choice.logprobs is None else logprobs([*unknown(echoed), *choice.logprobs])
        return part(echoed + choice.content, rows, self.reason(choice))

    def stream(self, completion: Completion, request: ModelRequest) -> Iterator[FrameRun]:
        choice, start = completion.choices[0], echoed(request)
        is_likely = choice.logprobs is not None
        head = {**head_of(completion), "system_fingerprint": self.provider.fingerprint(completion)}
        tail = {"usage": None} if request.controls.include_usage else {}
        if start:
            rows = logprobs(unknown(start)) if is_likely else None
            yield self.event("content", {**head, "choices": [part(start, rows)], **tail})
        pieces = tokens.pieces(choice.content)
        if choice.logprobs is None and choice.content:
            before, after = self.around({**head, "choices": [part(PIECE)], **tail})
            yield FrameRun("content", before, pieces.escaped, after, pieces.counts)
        else:
            offset = len(start)
            for row, count in zip(choice.logprobs or (), pieces.counts, strict=True):
                rows = logprobs([row], offset)
                yield self.event("content", {**head, "choices": [part(row.token, rows)], **tail}, tokens=count)
                offset += len(row.token)
        last = part("", finish_reason=self.reason(choice))
        yield self.event("finish", {**head, "choices": [last], "usage": self.provider.usage(completion)})
        yield single("done", DONE)


def echoed(request: ModelRequest) -> str:
    """Returns the text to repeat before the answer."""
    return request.messages[0].content if request.body.get("echo") else ""


def part(text: str, rows: dict[str, Any] | None = None, finish_reason: str | None = None) -> dict[str, Any]:
    """Returns the choice of a frame."""
    return {"text": text, "index": 0, "logprobs": rows, "finish_reason": finish_reason}


def unknown(text: str) -> list[TokenLogprob]:
    """Returns the tokens of a text that the model did not write, without probabilities."""
    return [TokenLogprob(piece, nan) for piece in tokens.pieces(text).texts]


def logprobs(rows: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """Returns log probabilities in the older format: four lists with an item for each token. `offset` is the first
    token's position.
    """
    lengths = [len(row.token) for row in rows]
    return {
        "text_offset": list(accumulate(lengths[:-1], initial=offset)) if rows else [],
        "token_logprobs": [None if isnan(row.logprob) else row.logprob for row in rows],
        "tokens": [row.token for row in rows],
        "top_logprobs": [None if isnan(row.logprob) else dict(row.top) for row in rows],
    }


def head_of(completion: Completion) -> dict[str, Any]:
    """Returns the first members of whole answers and frames."""
    return {
        "id": completion.id,
        "object": "text_completion",
        "created": completion.created,
        "model": completion.model,
    }
