"""What depends on the build of a model: the fingerprint of its answers, and the tokens that thinking adds to the
prompt.
"""

from emulator.providers.deepseek_chat import FINGERPRINT, DeepSeekDialect
from emulator.providers.deepseek_profiles import Profile
from emulator.providers.deepseek_settings import DeepSeekSettings
from emulator.reply import Completion
from emulator.request import ModelRequest


class DeepSeekBuild(DeepSeekDialect[DeepSeekSettings]):
    """DeepSeek's models as they were built at the time of a profile."""

    profile: Profile

    def effort_prompt(self, request: ModelRequest) -> tuple[str | None, int]:
        if not self.settings.hidden_prompt:
            return super().effort_prompt(request)
        effort = request.controls.reasoning_effort or "high"
        served = self.profile.model(request.model)
        is_continued = bool(request.messages) and request.messages[-1].prefix  # it does not think there
        if served is None or effort != "high" or is_continued:
            return effort, 0
        return ("max", 0) if served.thinks_hard else (effort, served.thinking_prompt)

    def fingerprint(self, completion: Completion) -> str:
        served = self.profile.model(completion.model)
        return completion.system_fingerprint or (FINGERPRINT if served is None else served.fingerprint)
