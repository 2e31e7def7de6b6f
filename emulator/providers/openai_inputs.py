"""OpenAI's endpoints that read texts but don't generate any: embeddings and moderations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import ValidationError

from emulator import seeded
from emulator.dialects.base import Dialect
from emulator.dialects.chat_input import BodyType, Strict
from emulator.dialects.embeddings import Embeddings, counted, inputs_of
from emulator.dialects.parameters import IGNORED
from emulator.providers import openai_words as words
from emulator.providers.openai_models import DIMENSIONS, base_of
from emulator.providers.openai_words import Bounds, wrong
from emulator.reply import Completion
from emulator.request import Controls, HttpRequest, Message, ModelRequest

if TYPE_CHECKING:
    from emulator.providers.openai import OpenAI  # a type argument below

MAX_INPUTS, MAX_INPUT_TOKENS = 2048, 8192
CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


OF_IMAGES = ("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "violence", "violence/graphic")
"""The categories that apply to images."""


class InputBody(Strict):
    """The inputs to moderate."""

    model: str = ""
    input: Any = None


class EmbeddingsBody(InputBody):
    """The inputs to embed."""

    dimensions: int | None = None
    encoding_format: str | None = None
    user: Annotated[str | None, IGNORED] = None


class OpenAIEmbeddings(Embeddings["OpenAI"]):
    """`POST /v1/embeddings`"""

    Body: ClassVar[type[EmbeddingsBody]] = EmbeddingsBody
    plain_dimensions: ClassVar[Mapping[str, int]] = DIMENSIONS

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        native, body = read(self.provider, http_request, EmbeddingsBody)
        model = self.provider.model_of(http_request, body.model)
        complaint = next(filter(None, self.complaints(body, model)), None)
        if complaint is not None:
            raise complaint
        inputs = inputs_of(body.input)
        messages = tuple([Message("user", each if isinstance(each, str) else "") for each in inputs])
        return ModelRequest(http_request, model, messages, False, Controls(), key, native)

    def complaints(self, body: EmbeddingsBody, model: str) -> Iterator[Exception | None]:
        if body.input is None:
            yield words.missing("input")
        if not is_input(body.input):
            yield wrong(
                "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
            )
        inputs = inputs_of(body.input)
        if not inputs or not all(len(each) for each in inputs):
            yield wrong("Invalid 'input': input cannot be an empty string or an empty array.", None, "input")
        if len(inputs) > MAX_INPUTS:
            yield words.too_many("input", len(inputs), MAX_INPUTS)
        for number, each in enumerate(inputs):
            if len(each) > MAX_INPUT_TOKENS and next(counted([each])) > MAX_INPUT_TOKENS:
                yield wrong(
                    f"Invalid 'input[{number}]': maximum context length is {MAX_INPUT_TOKENS} tokens.", None, "input"
                )
        if body.encoding_format not in (None, "float", "base64"):
            yield words.not_one_of("encoding_format", body.encoding_format, ("float", "base64"))
        most = DIMENSIONS.get(base_of(model), DIMENSIONS["text-embedding-3-large"])
        yield Bounds("dimensions", 1, most, "integer").complaint(body)
        if body.dimensions is not None and model == "text-embedding-ada-002":
            yield wrong("This model does not support specifying dimensions.", None, "dimensions")


class Moderations(Dialect["OpenAI"]):
    """`POST /v1/moderations`: flags only the categories in a rule's reply, separated by commas."""

    Body: ClassVar[type[InputBody]] = InputBody
    dialect = "moderations"

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        native, body = read(self.provider, http_request, InputBody)
        if body.input is None:
            raise words.missing("input")
        model = self.provider.model_of(http_request, body.model or "omni-moderation-latest")
        messages = tuple([Message("user", text) for text, _ in looked_at(body.input)])
        return ModelRequest(http_request, model, messages, False, Controls(), key, native)

    def make_id(self, entropy: bytes) -> str:
        return f"modr-{seeded.letters(entropy, 29)}"

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        named = [name.strip() for name in completion.choices[0].content.split(",")]
        return self.judged(completion.id, request, [name for name in named if name in CATEGORIES])

    def result(self, request: ModelRequest) -> Any:
        return self.judged(self.make_id(seeded.digest("moderation", request.http_request.body)), request, ())

    def judged(self, id: str, request: ModelRequest, flagged: Sequence[str]) -> Any:
        rows = []
        for text, has_images in looked_at(request.body.get("input")):
            scores = {name: seeded.fraction("moderation", text, name) for name in CATEGORIES}
            rows.append(
                {
                    "flagged": bool(flagged),
                    "categories": {name: name in flagged for name in CATEGORIES},
                    "category_scores": {
                        name: round(0.9 + score / 10 if name in flagged else score / 1000, 9)
                        for name, score in scores.items()
                    },
                    "category_applied_input_types": {
                        name: ["text", "image"] if has_images and name in OF_IMAGES else ["text"] for name in CATEGORIES
                    },
                }
            )
        return {"id": id, "model": request.model, "results": rows}


def read(provider: "OpenAI", http_request: HttpRequest, model: type[BodyType]) -> tuple[dict[str, Any], BodyType]:
    """Parses a body with an input. Raises ProviderError."""
    native = provider.json_of(http_request)
    if provider.settings.strict_members:
        unknown = [name for name in native if name not in model.model_fields]
        if unknown:
            raise wrong(f"Unrecognized request argument supplied: {', '.join(unknown)}")
    try:
        return native, model.model_validate(native)
    except ValidationError as error:
        raise words.misfit(error.errors(include_url=False)[0]) from None


def is_input(value: Any) -> bool:
    """Whether an input is a text, a list of texts, a list of tokens, or a list of such lists."""
    if not isinstance(value, list):
        return isinstance(value, str)
    kinds = {type(each) for each in value}
    if kinds == {list}:
        return all({type(token) for token in each} <= {int} for each in value)
    return kinds <= {str} or kinds == {int}


def looked_at(value: Any) -> list[tuple[str, bool]]:
    """Returns each text to moderate, and whether it comes with images."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        texts = [str(each.get("text") or "") for each in value if each.get("type") == "text"]
        return [("".join(texts), len(texts) < len(value))]
    return [(str(each), False) for each in (value if isinstance(value, list) else [value])]
