"""Images, embeddings and responses from resellers, according to their documents."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel

from emulator.dialects.base import provider_error
from emulator.dialects.chat_input import Strict
from emulator.dialects.embeddings import Embeddings, inputs_of
from emulator.dialects.images import Images, ImagesBody
from emulator.dialects.parameters import IGNORED, ignored
from emulator.providers.openai_inputs import is_input
from emulator.providers.openai_models import DIMENSIONS
from emulator.providers.openai_responses import KeptResponses
from emulator.providers.reselling import RESPONSES_MODEL
from emulator.request import Controls, HttpRequest, Message, ModelRequest

if TYPE_CHECKING:
    from emulator.providers.cloudsway import Cloudsway  # noqa: F401  # a type argument below
    from emulator.providers.serevix import Serevix  # noqa: F401  # a type argument below


RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
SIZES = ("1K", "2K", "4K")
MAX_PICTURES = 10
MAX_PROMPT = 32_000
UNSCALED = ignored("its values are checked; images are not scaled")
ONE_OF: Mapping[str, tuple[str, ...]] = {
    "size": ("auto", "1024x1024", "1536x1024", "1024x1536"),
    "quality": ("auto", "low", "medium", "high"),
    "background": ("auto", "transparent", "opaque"),
    "moderation": ("low", "auto"),
    "output_format": ("png", "jpeg", "webp"),
}
# Serevix


class SerevixImagesBody(ImagesBody):
    aspect_ratio: Annotated[str | None, UNSCALED] = None
    image_size: Annotated[str | None, UNSCALED] = None


class SerevixImages(Images[SerevixImagesBody, "Serevix"]):
    """`POST /v1/images/generations`"""

    Body: ClassVar[type[BaseModel]] = SerevixImagesBody

    def read(self, http_request: HttpRequest) -> tuple[SerevixImagesBody, Mapping[str, Any]]:
        vendor = self.provider
        vendor.check_media_type(http_request)
        body, native = vendor.read(http_request, SerevixImagesBody)
        if not body.model:
            raise vendor.no_model()
        if not body.prompt:
            raise vendor.gateway("prompt is required", "invalid_request")
        vendor.check_model(body.model)
        for name, known in (("aspect_ratio", RATIOS), ("image_size", SIZES)):
            value = getattr(body, name)
            if value is not None and value not in known:
                raise vendor.bad_request(f"Invalid {name}: {value}, the valid values are {', '.join(known)}")
        check_number(body.n)
        return body, native


class SerevixEmbeddingsBody(Strict):
    """The inputs to embed."""

    model: str = ""
    input: Any = None
    encoding_format: str | None = None
    dimensions: int | None = None


class SerevixEmbeddings(Embeddings["Serevix"]):
    """`POST /v1/embeddings`"""

    Body: ClassVar[type[BaseModel]] = SerevixEmbeddingsBody
    plain_dimensions: ClassVar[Mapping[str, int]] = DIMENSIONS

    def parse(self, http_request: HttpRequest, key: str) -> ModelRequest:
        vendor = self.provider
        vendor.check_media_type(http_request)
        body, native = vendor.read(http_request, SerevixEmbeddingsBody)
        if not body.model:
            raise vendor.no_model()
        if body.input in (None, "", []) or not is_input(body.input):
            raise vendor.gateway("input is empty", "invalid_request")
        vendor.check_model(body.model)
        if body.encoding_format not in (None, "float", "base64"):
            raise vendor.bad_request(f"Invalid encoding_format: {body.encoding_format}")
        if body.dimensions is not None and not 1 <= body.dimensions <= max(DIMENSIONS.values()):
            raise vendor.bad_request(f"Invalid dimensions: {body.dimensions}")
        messages = tuple([Message("user", each if isinstance(each, str) else "") for each in inputs_of(body.input)])
        return ModelRequest(http_request, body.model, messages, False, Controls(), key, native)


# Cloudsway


class CloudswayImagesBody(ImagesBody):
    """One page requires a model, a newer one shows none."""

    size: Annotated[str | None, UNSCALED] = None
    quality: Annotated[str | None, UNSCALED] = None
    background: Annotated[str | None, UNSCALED] = None
    moderation: Annotated[str | None, UNSCALED] = None
    output_format: Annotated[str | None, UNSCALED] = None
    output_compression: Annotated[int | None, UNSCALED] = None
    stream: Annotated[bool | None, ignored("images are not streamed")] = None
    partial_images: Annotated[int | None, UNSCALED] = None
    user: Annotated[str | None, IGNORED] = None


class CloudswayImages(Images[CloudswayImagesBody, "Cloudsway"]):
    """`POST /v1/ai/{endpointPath}/images/generations`"""

    Body: ClassVar[type[BaseModel]] = CloudswayImagesBody

    def read(self, http_request: HttpRequest) -> tuple[CloudswayImagesBody, Mapping[str, Any]]:
        vendor = self.provider
        vendor.check_endpoint(http_request)
        body, native = vendor.read(http_request, CloudswayImagesBody)
        complaint = next(complaints_of_picture(body), None)
        if complaint is not None:
            raise vendor.bad_request(complaint)
        check_number(body.n)
        return body, native

    def model_of(self, body: CloudswayImagesBody) -> str:
        return body.model or "gpt-image-1"


def complaints_of_picture(body: CloudswayImagesBody) -> Iterator[str]:
    """Yields the problems of the options for images."""
    if not body.prompt:
        yield "prompt is required"
    if len(body.prompt) > MAX_PROMPT:
        yield f"prompt must be at most {MAX_PROMPT} characters long"
    for name, known in ONE_OF.items():
        value = getattr(body, name)
        if value is not None and value not in known:
            yield f"Invalid {name}: {value}, the valid values are {', '.join(known)}"
    for name, most in (("output_compression", 100), ("partial_images", 3)):
        value = getattr(body, name)
        if value is not None and not 0 <= value <= most:
            yield f"Invalid {name}: {value}, the valid range is [0, {most}]"


def check_number(number: int | None) -> None:
    """Raises ProviderError for an invalid number of images."""
    if number is not None and not 1 <= number <= MAX_PICTURES:
        raise provider_error("bad_request", f"Invalid n: {number}, the valid range is [1, {MAX_PICTURES}]")


class CloudswayResponses(KeptResponses["Cloudsway"]):
    """OpenAI's responses at Cloudsway's endpoints"""

    weighs_words = False

    @property
    def refuses_unknown_members(self) -> bool:
        return False

    def json_of(self, http_request: HttpRequest) -> dict[str, Any]:
        self.provider.check_endpoint(http_request)
        return dict(self.provider.read(http_request, Strict)[1])

    def named_model(self, http_request: HttpRequest, sent: str) -> str:
        model: str = sent or RESPONSES_MODEL
        if "endpointPath" not in http_request.parameters:
            self.provider.check_model(model)
        return model

    def result(self, request: ModelRequest) -> Any:
        self.provider.check_endpoint(request.http_request)
        return super().result(request)
