"""Images and files in DeepSeek's chats, for the models that see them: what may stand where, how many tokens it costs.

Public: api-docs.deepseek.com, guides/vision. The number of tokens is inferred from the sizes that it tells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from emulator import images
from emulator.dialects.chat_input import ContentPart, Many, MessageBody, Strict, text_or_list
from emulator.dialects.parameters import SAMPLING
from emulator.providers.deepseek_dated import DatedDeepSeek
from emulator.providers.deepseek_input import DeepSeekBody, DeepSeekMessage
from emulator.providers.deepseek_rules import NO_IMAGES
from emulator.request import Message

MOST_TOKENS = 384
"""What an image costs at most, and where its size is not known."""
SMALLEST, LARGEST = 384 * 384, 800 * 800
"""To how many pixels an image is scaled, between these."""
PIXELS_PER_TOKEN = 1667
LOW = (512, 512)
"""The size of an image with little detail."""
MOST_IMAGES = 600
MOST_URL = 8192
ONLY_USERS = "Images are only supported in user messages"


class ImageUrl(Strict):
    url: str
    detail: Literal["low", "high", "original", "auto"] | None = None


class FilePart(Strict):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class SeenPart(ContentPart):
    """One part of a content that may be an image."""

    type: Literal["text", "image_url", "file"]
    image_url: ImageUrl | None = None
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None
    file: FilePart | None = None

    @property
    def given_file(self) -> FilePart:
        """The file, whether its members stand in the part or in an object of their own."""
        return self.file or FilePart(file_id=self.file_id, file_data=self.file_data, filename=self.filename)


class SeeingMessage(DeepSeekMessage):
    content: (
        Annotated[Annotated[str, Tag("<text>")] | Annotated[Many[SeenPart], Tag("<list>")], Discriminator(text_or_list)]
        | None
    ) = None  # type: ignore[assignment]  # the parts that models with eyes know


class PenaltyBody(DeepSeekBody):
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None


class SeeingBody(PenaltyBody):
    messages: Many[SeeingMessage]  # type: ignore[assignment]  # likewise


def parts_of(message: object) -> Sequence[SeenPart]:
    """The images and files of a message."""
    content = getattr(message, "content", None)
    return [part for part in content if part.type != "text"] if isinstance(content, list) else ()


def complaints(messages: Sequence[object]) -> Iterator[str]:
    """What may be wrong with images and files."""
    number = 0
    for message in messages:
        for part in parts_of(message):
            number += 1
            if getattr(message, "role", "") != "user":
                yield ONLY_USERS
            if part.type == "image_url":
                if part.image_url is None:
                    yield "image_url must have url"
                elif not part.image_url.url.startswith(("data:", "http://", "https://")):
                    yield "Invalid image_url: it must be a data URL or a link"
                elif not part.image_url.url.startswith("data:") and len(part.image_url.url) > MOST_URL:
                    yield f"Invalid image_url: a link may have {MOST_URL} characters"
            else:
                file = part.given_file
                if file.file_id is None and file.file_data is None:
                    yield "file must have file_id or file_data"
                if file.file_id is not None and file.file_data is not None:
                    yield "file cannot have both file_id and file_data"
    if number > MOST_IMAGES:
        yield f"Too many images: {number}, the limit is {MOST_IMAGES}"


def tokens_of(part: SeenPart) -> int:
    """What an image or a file costs in the prompt."""
    if part.type == "file":
        data = part.given_file.file_data
        return tokens_of_size(images.size_of_url(data) or images.size_of_base64(data)) if data else MOST_TOKENS
    assert part.image_url is not None
    return tokens_of_size(LOW if part.image_url.detail == "low" else images.size_of_url(part.image_url.url))


def tokens_of_size(size: images.Size | None) -> int:
    """What an image of a size costs."""
    if size is None:
        return MOST_TOKENS
    pixels = min(max(size[0] * size[1], SMALLEST), LARGEST)
    return min(MOST_TOKENS, round(pixels / PIXELS_PER_TOKEN))


class SeeingDeepSeek(DatedDeepSeek):
    """DeepSeek's API, some of whose models see images."""

    def message_of(self, body: MessageBody) -> Message:
        message = super().message_of(body)
        seen = parts_of(body)
        if not seen:
            return message
        return replace(message, images=len(seen), image_tokens=sum(map(tokens_of, seen)))

    def complaints_of_images(self, body: DeepSeekBody) -> Iterator[str]:
        if not self.sees_images(body.model):
            if any(map(parts_of, body.messages)):
                yield NO_IMAGES
            return
        yield from complaints(body.messages)
