from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.store.outcomes import make_call

from daydreaming_dagster.domain.errors import TransportError
from daydreaming_dagster.engine.settling import settle_unknown
from daydreaming_dagster.llm.openrouter_records import GenerationRecord
from daydreaming_dagster.llm.scripted import ScriptedClient
from daydreaming_dagster.store.ledger import Ledger
from daydreaming_dagster.store.paths import DataPaths


class Records(ScriptedClient):
    """A client whose provider remembers some responses."""

    def __init__(self, costs: dict[str, float], *, is_silent: bool = False) -> None:
        super().__init__()
        self.costs, self.is_silent, self.looked_up = costs, is_silent, 0

    async def fetch_generation(self, response_id: str) -> GenerationRecord | None:
        self.looked_up += 1
        if self.is_silent:
            raise TransportError("gone", fix="wait")
        cost = self.costs.get(response_id)
        return None if cost is None else GenerationRecord(cost_usd=cost, native_prompt_tokens=3)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(DataPaths(tmp_path))
    opened.record(
        [
            make_call("answered", state="answered", response_id="r-1", reserved_usd=0.5),
            make_call("lost", response_id="r-2", reason="bad_response"),
            make_call("forgotten", response_id="r-3"),
            make_call("orphan"),
        ]
    )
    yield opened
    opened.close()


def test_what_the_provider_knows_is_settled_and_the_rest_stays_unknown(ledger: Ledger) -> None:
    client = Records({"r-1": 0.1, "r-2": 0.2})
    assert asyncio.run(settle_unknown(ledger, lambda _: client)) == 2
    costs = {row.call_id: row.cost_usd for row in ledger.find_calls("d_1")}
    assert costs == {"answered": 0.1, "lost": 0.2, "forgotten": None, "orphan": None}
    assert ledger.find_scope("run:run-1")[1].usd == pytest.approx(0.1 + 0.2 + 0.5 + 0.5)


def test_a_provider_that_does_not_answer_is_asked_once(ledger: Ledger) -> None:
    client = Records({}, is_silent=True)
    assert asyncio.run(settle_unknown(ledger, lambda _: client)) == 0
    assert client.looked_up == 1


def test_a_client_without_records_is_not_asked(ledger: Ledger) -> None:
    assert asyncio.run(settle_unknown(ledger, lambda _: ScriptedClient())) == 0


class Resumed(ScriptedClient):
    """A client that took up batches which were handed in at these times."""

    def __init__(self, resumed: tuple[float, float] | None) -> None:
        super().__init__()
        self.resumed = resumed


@pytest.mark.parametrize(("resumed", "settled"), [((100.0, 100.0), 1), ((5000.0, 5000.0), 0), (None, 0)])
def test_a_call_whose_batch_was_taken_up_again_cost_nothing_of_its_own(
    tmp_path: Path, resumed: tuple[float, float] | None, settled: int
) -> None:
    ledger = Ledger(DataPaths(tmp_path))
    ledger.record(
        [
            make_call("lost", gen_id="v_1", sent_at=90.0, reserved_usd=0.5),
            make_call("taken", gen_id="v_1", sent_at=200.0, state="answered", cost_usd=0.1),
            make_call("still lost", gen_id="v_2", sent_at=90.0, reserved_usd=0.5),
        ]
    )
    client = Resumed(resumed)
    assert asyncio.run(settle_unknown(ledger, lambda _: client)) == settled
    assert ledger.find_scope("run:run-1")[1].usd == pytest.approx(0.1 + 0.5 + 0.5 * (1 - settled))
    ledger.close()
