"""Embeddings in Google's format: one content, or several requests in a batch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel

from emulator import tokens
from emulator.dialects.base import Vendor
from emulator.dialects.chat_input import Many
from emulator.dialects.embeddings import Embeddings, Tokens, shown, vector
from emulator.dialects.generate_content_input import ContentBody, Wire, text_of
from emulator.dialects.generate_content_urls import BATCH
from emulator.dialects.parameters import IGNORED, honored, ignored
from emulator.reply import Usage
from emulator.request import Controls, HttpRequest, Message, ModelRequest

MAX_REQUESTS = 100


class EmbedContentBody(Wire):
    model: Annotated[str | None, ignored("the URL names the model")] = None
    content: Annotated[ContentBody | None, honored("its texts are joined")] = None
    task_type: Annotated[str | None, ignored("the vector depends on the text alone")] = None
    title: Annotated[str | None, IGNORED] = None
    output_dimensionality: int | None = None
    embed_content_config: Annotated[Any, IGNORED] = None


class BatchBody(Wire):
    requests: Many[EmbedContentBody] | None = None


class EmbedVendor(Vendor, Protocol):
    """A provider that looks up its own embedding models."""

    def speaking(self, dialect: str) -> Any: ...
    def model_named(self, name: str, method: str) -> str: ...


class EmbedContent(Embeddings[EmbedVendor]):
    """`:embedContent` and `:batchEmbedContents`"""

    takes_key_in_url = True
    dialect = "embed_content"
    plain_dimensions: ClassVar[Mapping[str, int]] = {}

    def key_in(self, http_request: HttpRequest) -> str:
        key: str = self.provider.speaking("generate_content").key_in(http_request)
        return key

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        reader = self.provider.speaking("generate_content")
        is_batch = http_request.operation == BATCH
        body, native = reader.read(http_request, BatchBody if is_batch else EmbedContentBody)
        model = self.provider.model_named(http_request.parameters["model"], "embedContent")
        requests: list[EmbedContentBody] = list(body.requests or ()) if is_batch else [body]
        complaint = next(self.complaints(model, requests, is_batch), None)
        if complaint is not None:
            raise reader.bad_request(complaint)
        messages = tuple([Message("user", text_of((each.content and each.content.parts) or ())) for each in requests])
        return ModelRequest(http_request, model, messages, False, Controls(), key, native)

    def body_of(self, operation: str) -> type[BaseModel] | None:
        return BatchBody if operation == BATCH else EmbedContentBody

    def complaints(self, model: str, requests: Sequence[EmbedContentBody], is_batch: bool) -> Iterator[str]:
        """Yields the problems of requests whose types are right."""
        if not requests:
            yield "* BatchEmbedContentsRequest.requests: requests is not specified\n"
        if len(requests) > MAX_REQUESTS:
            yield f"* BatchEmbedContentsRequest.requests: at most {MAX_REQUESTS} requests can be in one batch\n"
        most = self.plain_dimensions.get(model, 3072)
        for number, each in enumerate(requests):
            place = f"BatchEmbedContentsRequest.requests[{number}]" if is_batch else "EmbedContentRequest"
            if each.model is not None and each.model.removeprefix("models/") != model:
                yield f"* {place}.model: the model must match the one in the URL, models/{model}\n"
            if each.content is None or not each.content.parts:
                yield f"* {place}.content: content is not specified\n"
            size = each.output_dimensionality
            if size is not None and not 1 <= size <= most:
                yield f"* {place}.output_dimensionality: must be in the range [1, {most}].\n"

    def inputs(self, request: ModelRequest) -> Sequence[str | Tokens]:
        return [message.content for message in request.messages]

    def dimensions(self, request: ModelRequest) -> int:
        return max(self.sizes(request), default=0)

    def sizes(self, request: ModelRequest) -> list[int]:
        """The number of dimensions of each vector."""
        usual = self.plain_dimensions.get(request.model, 3072)
        is_batch = request.http_request.operation == BATCH
        rows = request.body.get("requests", ()) if is_batch else [request.body]
        rows = [rows] if isinstance(rows, dict) else rows
        return [int(row.get("outputDimensionality") or row.get("output_dimensionality") or usual) for row in rows]

    def result(self, request: ModelRequest) -> Any:
        sized = zip(request.messages, self.sizes(request), strict=True)
        rows = [{"values": shown(vector(message.content, size))} for message, size in sized]
        return {"embeddings": rows} if request.http_request.operation == BATCH else {"embedding": rows[0]}

    def spent(self, result: Any, request: ModelRequest) -> Usage | None:
        count = sum([tokens.count(message.content) for message in request.messages])
        return Usage(count, 0, count)
