"""Two emulators that share a Redis, in containers, for a test in Python: `pip install testcontainers httpx pytest`,
then `docker build -t llm-provider-emulator .` in a checkout of the emulator, then `pytest test_with_replicas.py`."""

import httpx
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

IMAGE = "llm-provider-emulator"


def replica(network):
    return (
        DockerContainer(IMAGE)
        .with_network(network)
        .with_exposed_ports(8080)
        .with_env("EMULATOR_STORE", "redis://store:6379/0")
        .with_env("EMULATOR_SPEED", "max")
        .with_env("EMULATOR_CONTROL_TOKEN", "of-the-test")
        .waiting_for(HttpWaitStrategy(8080, "/__emulator/ready"))
    )


@pytest.fixture(scope="session")
def urls():
    with Network() as network:
        store = DockerContainer("valkey/valkey:8-alpine").with_network(network).with_network_aliases("store")
        store.waiting_for(LogMessageWaitStrategy("Ready to accept connections"))
        with store, replica(network) as first, replica(network) as second:
            yield [f"http://{each.get_container_host_ip()}:{each.get_exposed_port(8080)}" for each in (first, second)]


def test_what_is_set_through_one_is_in_force_on_the_other(urls):
    token = {"X-Emulator-Token": "of-the-test"}
    scenario = {"version": 1, "rules": [{"reply": {"content": "Sunny."}}]}
    made = httpx.put(f"{urls[0]}/__emulator/namespaces/weather", json={"scenario": scenario}, headers=token)
    assert made.status_code == 200
    reply = httpx.post(
        f"{urls[1]}/@weather/serevix/v1/chat/completions",
        json={"model": "deepseek-v3", "messages": [{"role": "user", "content": "Weather in Paris?"}]},
        headers={"Authorization": "Bearer sk-any"},
    )
    assert reply.json()["choices"][0]["message"]["content"] == "Sunny."
    journal = httpx.get(f"{urls[0]}/__emulator/journal", params={"namespace": "weather"}, headers=token)
    assert [each["status"] for each in journal.json()["exchanges"]] == [200]
