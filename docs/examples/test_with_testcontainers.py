"""The emulator in a container, for a test in Python: `pip install testcontainers httpx pytest`, then
`docker build -t llm-provider-emulator .` in a checkout of the emulator, then `pytest test_with_testcontainers.py`."""

from pathlib import Path

import httpx
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy

IMAGE = "llm-provider-emulator"
SCENARIO = """\
version: 1
rules:
  - match: {prompt: {contains: Paris}}
    replies:
      - error: rate_limited
      - reply: {content: Sunny.}
"""


@pytest.fixture(scope="session")
def emulator_url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenarios")
    folder.chmod(0o755)  # the container runs as another user
    Path(folder, "scenario.yaml").write_text(SCENARIO)
    container = (
        DockerContainer(IMAGE)
        .with_exposed_ports(8080)
        .with_env("EMULATOR_SCENARIO", "/scenarios")
        .with_env("EMULATOR_SPEED", "max")
        .with_volume_mapping(str(folder), "/scenarios", "ro")
        .waiting_for(HttpWaitStrategy(8080, "/__emulator/ready"))
    )
    with container:
        yield f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8080)}"


def ask(url, namespace, prompt):
    return httpx.post(
        f"{url}/@{namespace}/serevix/v1/chat/completions",
        json={"model": "deepseek-v3", "messages": [{"role": "user", "content": prompt}]},
        headers={"Authorization": "Bearer sk-any"},
    )


def test_a_rate_limit_passes(emulator_url):
    """Each test has a namespace of its own, so all of them share one container."""
    assert ask(emulator_url, "a_rate_limit_passes", "Weather in Paris?").status_code == 429
    reply = ask(emulator_url, "a_rate_limit_passes", "Weather in Paris?")
    assert reply.json()["choices"][0]["message"]["content"] == "Sunny."
