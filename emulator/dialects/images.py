"""Images: a rule's reply chooses the images for a prompt; without one, each is a single colored pixel.

The text of the reply is an image in base64 or as a `data:` URL, the URL of an image, or a revised prompt.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Mapping
from typing import Any, ClassVar, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from emulator import seeded
from emulator.dialects.base import Dialect, VendorT
from emulator.dialects.chat_input import Strict
from emulator.reply import Completion
from emulator.request import Controls, HttpRequest, Message, ModelRequest


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pixel(model: str, prompt: str) -> str:
    """Returns a PNG of one pixel in base64; the prompt determines its color."""
    color = seeded.digest("pixel", model, prompt)[:3]
    data = (
        MAGIC[0]
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(b"\x00" + color))
        + _chunk(b"IEND", b"")
    )
    return base64.b64encode(data).decode()


MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")
"""The first bytes of image files."""


class ImagesBody(Strict):
    """The prompt; vendors add the rest."""

    model: str = ""
    prompt: str = ""
    n: int | None = None


ImagesT = TypeVar("ImagesT", bound=ImagesBody)
"""The body that a vendor reads."""


class Images(Dialect[VendorT], Generic[ImagesT, VendorT]):
    """Renders images."""

    dialect = "images"
    Body: ClassVar[type[BaseModel]] = ImagesBody

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        body, native = self.read(http_request)
        return ModelRequest(
            http_request, self.model_of(body), (Message("user", body.prompt),), False, Controls(), key, native
        )

    def read(self, http_request: HttpRequest) -> tuple[ImagesT, Mapping[str, Any]]:
        """Returns the typed body and the parsed JSON. Raises ProviderError."""
        raise NotImplementedError

    def model_of(self, body: ImagesT) -> str:
        """Returns the requested model."""
        return body.model

    def body(self, completion: Completion, request: ModelRequest) -> Any:
        return answer(completion.created, completion.choices[0].content, request)

    def result(self, request: ModelRequest) -> Any:
        store = request.http_request.store
        return answer(int(store.now()) if store is not None else 0, "", request)


def answer(created: int, said: str, request: ModelRequest) -> Any:
    """Returns the requested number of images."""
    one = picture(said.strip(), pixel(request.model, request.prompt))
    return {"created": created, "data": [one] * int(request.body.get("n") or 1)}


def picture(said: str, otherwise: str) -> dict[str, str]:
    """Returns one image, as the reply of a rule describes it."""
    if said.startswith("data:") and "," in said:
        return {"b64_json": said.partition(",")[2]}
    if said.startswith(("https://", "http://")) and " " not in said:
        return {"url": said}
    if is_picture(said):
        return {"b64_json": said}
    return {"b64_json": otherwise, **({"revised_prompt": said} if said else {})}


def is_picture(text: str) -> bool:
    """Whether a text is an image in base64."""
    try:
        return base64.b64decode(text[:64], validate=True).startswith(MAGIC)
    except (binascii.Error, ValueError):
        return False
