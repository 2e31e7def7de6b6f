"""Clients that ask and ask while servers are killed, each in a thread."""

import json
import threading
from collections.abc import Callable
from typing import Any, Self

import httpx
from replicas import HEADERS, PATH

JOURNAL_SIZE = 1000
"""As many exchanges as a journal keeps."""

Body = Callable[[int, int], dict[str, Any]]
"""The request of a client, by the client's number and how often it has asked."""


class Crowd:
    """This many threads that run `go_on` until the block ends; then `stopped` is set, and they are waited for."""

    def __init__(self, size: int) -> None:
        self.stopped = threading.Event()
        self._threads = [threading.Thread(target=self.go_on, args=(number,)) for number in range(size)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, number: int) -> None:
        raise NotImplementedError


class Traffic(Crowd):
    """Clients of one server, each of which asks again, on the connection that it keeps, as soon as it has the whole
    answer. When the server is gone, so are they, unless others answer at the same address."""

    def __init__(
        self, origin: str, namespace: str, body: Body, *, clients: int = 4, others_answer: bool = False
    ) -> None:
        super().__init__(clients)
        self.whole: list[str] = []
        """The ids of the whole answers."""
        self.started = 0
        self._url = f"{origin}/@{namespace}{PATH}"
        self._body = body
        self._count = JOURNAL_SIZE // clients
        self._others_answer = others_answer

    def go_on(self, number: int) -> None:
        with httpx.Client(trust_env=False, timeout=10) as connection:
            for count in range(self._count):
                if self.stopped.is_set():
                    return
                self.started += 1
                try:
                    answer = connection.post(self._url, json=self._body(number, count), headers=HEADERS)
                except httpx.TransportError:
                    if self._others_answer:
                        continue
                    return
                assert answer.status_code == 200, answer.text
                self.whole.append(id_of(answer.text))


def id_of(text: str) -> str:
    """The id of an answer, whole or streamed."""
    return str(json.loads(text.removeprefix("data: ").partition("\n")[0])["id"])


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "deepseek-v3", "messages": [{"role": "user", "content": text}], **more}
