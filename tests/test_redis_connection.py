"""The connection to a store: its URL, and whether the store is reachable."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from redis_server import RedisServer
from served import run, served

from emulator.errors import UsageError
from emulator.state.redis_connection import RedisConnection, StoreAddress, check_installed, store_address
from emulator.state.redis_link import RedisLink


def test_an_address_takes_its_own_settings_out_of_the_url_and_hides_the_password() -> None:
    assert store_address("redis://host:1234/2") == StoreAddress(
        "redis://host:1234/2", "redis://host:1234/2", "emulator", 86400.0
    )
    assert store_address("rediss://me:secret@host/0?prefix=team&ttl=120&ssl_cert_reqs=none") == StoreAddress(
        "rediss://me:secret@host/0?ssl_cert_reqs=none", "rediss://host/0", "team", 120.0
    )
    assert store_address("valkeys://host").url == "rediss://host"
    assert store_address("unix:///run/redis.sock").key("a", "c") == "emulator:{a}:c"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("host:6379", "--store: 'host:6379' is not the URL of a store."),
        ("http://me:secret@host", "--store: 'http://host' is not the URL of a store."),
        ("redis://host:port", "--store: 'redis://host:port' is not a URL: "),
        ("redis://host?ttl=soon", "--store: ttl is 'soon'; expected seconds from 60 to 31622400."),
        ("redis://host?prefix={}", "--store: the prefix '{}' must not be empty or contain { or }."),
    ],
)
def test_an_unusable_address_is_a_usage_error(url: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        store_address(url)
    assert str(caught.value).startswith(said)
    code, output, errors = run("serve", "--port", "0", "--store", url)
    assert (code, output) == (2, "")
    assert said in errors
    assert "secret" not in errors


def test_a_store_that_goes_and_comes_is_noticed(redis_server: RedisServer) -> None:
    async def watched() -> list[object]:
        seen: list[object] = []
        back = asyncio.Event()
        connection = RedisConnection(store_address(redis_server.url))
        connection.on_back(back.set)
        await connection.start()
        seen.append(connection.is_gone)
        redis_server.stop()
        try:
            await connection.client.execute_command("PING")
        except Exception as error:
            seen.append(str(connection.lost(error)).startswith(f"The store {redis_server.url} does not answer: "))
        seen.append(connection.is_gone)
        redis_server.start()
        await asyncio.wait_for(back.wait(), 20)
        seen += [connection.is_gone, await connection.client.execute_command("PING"), connection.losses]
        await connection.close()
        return seen

    assert asyncio.run(watched()) == [False, True, True, False, True, 1]


def test_a_server_starts_without_its_store_and_says_so(tmp_path: Path) -> None:
    nowhere = "redis://127.0.0.1:1/0"
    with served("--log", "off", environment={"EMULATOR_STORE": nowhere}) as server:
        server.signal(15)
        code, _, errors = server.finish()
    assert code == 0
    assert f"The store {nowhere} does not answer: " in errors


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.state.redis_connection.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^--store needs redis and hiredis, which are not installed\. "):
        check_installed()


def test_an_option_that_the_client_refuses_is_a_usage_error() -> None:
    with pytest.raises(UsageError) as caught:
        RedisConnection(store_address("redis://me:secret@host?socket_timeout=soon"))
    assert str(caught.value).startswith("--store: 'redis://host' is not the URL of a store: Invalid value for ")


class Sent:
    """The transport of a TLS connection, which keeps what is sent."""

    def __init__(self) -> None:
        self.data = b""

    def get_extra_info(self, name: str) -> object:
        return name

    def set_protocol(self, protocol: object) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.data += data

    def get_write_buffer_size(self) -> int:
        return len(self.data)

    def abort(self) -> None:
        self.data = b""


def test_over_tls_everything_goes_through_the_transport_and_replies_come_in_pieces() -> None:
    class Opened:
        _writer: Any = SimpleNamespace(transport=Sent())

        async def connect(self) -> None:
            pass

    opened = Opened()
    pool = SimpleNamespace(make_connection=lambda: opened)
    connection: Any = SimpleNamespace(client=SimpleNamespace(connection_pool=pool))

    async def steps() -> Any:
        replies: list[Any] = []
        transport = opened._writer.transport
        link = RedisLink(connection, lambda error: None)
        assert (link.is_writing, link.push(b"nowhere")) == (False, True)
        await link.open()
        link.send([("PING",), ("PING",)], replies.extend)
        assert (link.is_writing, link.push(b"pushed")) == (True, False)
        for piece in (b"+PO", b"NG\r\n", b"+PONG\r\n"):
            assert link.is_busy
            link.data_received(piece)
        sent = transport.data
        link.close()
        return sent, replies, link.is_busy, link.is_writing

    ping = b"*1\r\n$4\r\nPING\r\n"
    assert asyncio.run(steps()) == (ping * 2 + b"pushed", [b"PONG", b"PONG"], False, False)
