"""langchain's standard tests of chat models, against every provider."""

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_deepseek import ChatDeepSeek
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

NOT_THINKING = {"extra_body": {"thinking": {"type": "disabled"}}}


class Standard(ChatModelIntegrationTests):
    """What all have in common."""

    kind: Any
    url_as = "base_url"
    path: str
    parameters: dict[str, Any]
    origin = ""

    @property
    def chat_model_class(self) -> Any:
        return self.kind

    @property
    def chat_model_params(self) -> dict[str, Any]:
        url = f"{self.origin}/@{type(self).__name__}{self.path}"
        return {self.url_as: url, "api_key": "sk-test", "max_retries": 0, **self.parameters}


class TestOpenAI(Standard):
    kind = ChatOpenAI
    path = "/openai/v1"
    parameters = {"model": "gpt-4o-mini", "stream_usage": True}  # noqa: RUF012


class TestOpenAIResponses(Standard):
    kind = ChatOpenAI
    path = "/openai/v1"
    parameters = {"model": "gpt-4o-mini", "use_responses_api": True}  # noqa: RUF012


class TestDeepSeek(Standard):
    kind = ChatDeepSeek
    url_as = "api_base"
    path = "/deepseek"
    parameters = {"model": "deepseek-flash", **NOT_THINKING}  # noqa: RUF012
    structured_output_kwargs = {"method": "function_calling"}  # noqa: RUF012


class TestAnthropic(Standard):
    kind = ChatAnthropic
    path = "/anthropic"
    parameters = {"model": "claude-haiku-4-5-20251001"}  # noqa: RUF012


class TestGemini(Standard):
    kind = ChatGoogleGenerativeAI
    path = "/gemini"
    parameters = {"model": "gemini-2.5-flash"}  # noqa: RUF012


class TestMaxToken(Standard):
    kind = ChatOpenAI
    path = "/maxtoken/v1"
    parameters = {"model": "deepseek-r1", "stream_usage": True}  # noqa: RUF012


class TestSerevix(Standard):
    kind = ChatOpenAI
    path = "/serevix/v1"
    parameters = {"model": "deepseek-v3", "stream_usage": True}  # noqa: RUF012


class TestCloudsway(Standard):
    kind = ChatDeepSeek
    url_as = "api_base"
    path = "/cloudsway/v1/ai/demo"
    parameters = {"model": "deepseek-v4", **NOT_THINKING}  # noqa: RUF012
