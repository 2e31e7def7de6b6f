"""Images and files in DeepSeek's chats, for the models that accept them: where they are allowed, and their tokens.

Public: api-docs.deepseek.com, guides/vision. The number of tokens is inferred from the sizes given there.
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

MAX_TOKENS = 384
"""The maximum tokens of an image, also used if its size is unknown."""
MIN_PIXELS, MAX_PIXELS = 384 * 384, 800 * 800
"""An image is scaled to a number of pixels in this range."""
PIXELS_PER_TOKEN = 1667
LOW = (512, 512)
"""The size of an image with low detail."""
MAX_IMAGES = 600
MAX_URL = 8192
ONLY_USERS = "Images are only supported in user messages"


class ImageUrl(Strict):
    url: str
    detail: Literal["low", "high", "original", "auto"] | None = None


class FilePart(Strict):
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None


class SeenPart(ContentPart):
    """One part of a content, possibly an image or a file."""

    type: Literal["text", "image_url", "file"]
    image_url: ImageUrl | None = None
    file_id: str | None = None
    file_data: str | None = None
    filename: str | None = None
    file: FilePart | None = None

    @property
    def given_file(self) -> FilePart:
        """The file, whether its members are in the part or in a nested object."""
        return self.file or FilePart(file_id=self.file_id, file_data=self.file_data, filename=self.filename)


class SeeingMessage(DeepSeekMessage):
    content: (
        Annotated[Annotated[str, Tag("<text>")] | Annotated[Many[SeenPart], Tag("<list>")], Discriminator(text_or_list)]
        | None
    ) = None  # type: ignore[assignment]  # the parts that vision models accept


class PenaltyBody(DeepSeekBody):
    frequency_penalty: Annotated[float | None, SAMPLING] = None
    presence_penalty: Annotated[float | None, SAMPLING] = None


class SeeingBody(PenaltyBody):
    messages: Many[SeeingMessage]  # type: ignore[assignment]  # likewise


def parts_of(message: object) -> Sequence[SeenPart]:
    """Returns the images and files of a message."""
    content = getattr(message, "content", None)
    return [part for part in content if part.type != "text"] if isinstance(content, list) else ()


def complaints(messages: Sequence[object]) -> Iterator[str]:
    """Yields the problems of images and files."""
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
                elif not part.image_url.url.startswith("data:") and len(part.image_url.url) > MAX_URL:
                    yield f"Invalid image_url: a link may have {MAX_URL} characters"
            else:
                file = part.given_file
                if file.file_id is None and file.file_data is None:
                    yield "file must have file_id or file_data"
                if file.file_id is not None and file.file_data is not None:
                    yield "file cannot have both file_id and file_data"
    if number > MAX_IMAGES:
        yield f"Too many images: {number}, the limit is {MAX_IMAGES}"


def tokens_of(part: SeenPart) -> int:
    """Returns the tokens of an image or a file in the prompt."""
    if part.type == "file":
        data = part.given_file.file_data
        return tokens_of_size(images.size_of_url(data) or images.size_of_base64(data)) if data else MAX_TOKENS
    assert part.image_url is not None
    return tokens_of_size(LOW if part.image_url.detail == "low" else images.size_of_url(part.image_url.url))


def tokens_of_size(size: images.Size | None) -> int:
    """Returns the tokens of an image of this size."""
    if size is None:
        return MAX_TOKENS
    pixels = min(max(size[0] * size[1], MIN_PIXELS), MAX_PIXELS)
    return min(MAX_TOKENS, round(pixels / PIXELS_PER_TOKEN))


class SeeingDeepSeek(DatedDeepSeek):
    """DeepSeek's API, some of whose models accept images."""

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
