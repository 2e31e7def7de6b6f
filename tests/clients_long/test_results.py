"""What docs/clients.md shows is of the clients that are pinned."""

import json

from clients_results import FILE, facts
from clients_table import CLIENTS


def test_the_results_are_of_the_pinned_clients() -> None:
    kept = json.loads(FILE.read_text())
    rows = [(client, row) for client, known in CLIENTS.items() for row in known.rows]
    shown = {name: {key: value for key, value in result.items() if key != "works"} for name, result in kept.items()}
    assert shown == {f"{client}.{row}": facts(client, row) for client, row in rows}, "run `make clients`"
    for client, row in rows:
        assert list(kept[f"{client}.{row}"]["works"]) == list(CLIENTS[client].rows[row].expected)
