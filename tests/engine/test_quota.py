from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.engine.scene import make_catalogue

from daydreaming_dagster.domain.catalogue import Catalogue, Endpoint, Model, Pool
from daydreaming_dagster.domain.errors import RefusedError
from daydreaming_dagster.engine.limits import SharedLimits
from daydreaming_dagster.engine.quota import DAY_S, DayUse, build_quota_error, find_free_endpoint, read_day_use
from daydreaming_dagster.llm.openrouter_records import KeyStatus
from daydreaming_dagster.store.paths import DataPaths

NOON = 20_000 * DAY_S + DAY_S / 2


@dataclass
class Provider:
    """Counts a day's requests, whoever sends them, and says what is left."""

    limit: int = 10
    used: int = 0
    now: float = NOON
    asked: int = 0
    tells: bool = True
    trouble: Exception | None = None

    async def fetch(self) -> KeyStatus:
        self.asked += 1
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        if not self.tells:
            return KeyStatus()
        left = max(0, self.limit - self.used)
        return KeyStatus(free_requests_limit=self.limit, free_requests_remaining=left)

    def move_to_tomorrow(self) -> None:
        self.now += DAY_S
        self.used = 0

    def open(self, folder: Path, requests_per_day: int | None = None) -> SharedLimits:
        pool = Pool("free", 1, requests_per_day=requests_per_day)
        return SharedLimits(DataPaths(folder), pool, lambda: self.now, ask_provider=self.fetch)

    async def send(self, limits: SharedLimits, most: int = 100) -> int:
        """Sends as much as the limits let pass; returns how much that was."""
        sent = 0
        for _ in range(20 * most):
            if sent == most or (delay_s := limits.try_take(1)) > 3600:
                break
            if delay_s == 0.0:
                sent += 1
                self.used += 1
                limits.release()
                limits.give_back()
            await asyncio.sleep(0)
        return sent


def run(scenario: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(scenario())


def test_what_the_provider_says_holds_where_it_is_less_than_the_rows_number(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = Provider(limit=10, used=7)
        limits = provider.open(tmp_path, requests_per_day=50)
        assert await provider.send(limits) == 3
        told = limits.explain_wait(limits.try_take(1))
        assert "the provider allows 10 a day" in told.what
        assert "until 00:00 UTC, in 12.0 h" in told.what
        limits.close()

    run(scenario)


def test_the_rows_number_holds_where_it_is_less_than_what_the_provider_says(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = Provider(limit=1000)
        limits = provider.open(tmp_path, requests_per_day=4)
        assert await provider.send(limits) == 4
        told = limits.explain_wait(limits.try_take(1))
        assert "requests_per_day in data/1_raw/llm_pools.csv allows 4" in told.what
        assert "raise that number" in told.fix
        limits.close()

    run(scenario)


def test_a_limit_that_nobody_wrote_down_is_heeded_when_the_provider_tells_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = Provider(limit=6, used=1)
        limits = provider.open(tmp_path)
        assert await provider.send(limits) == 5
        limits.close()

    run(scenario)


def test_the_provider_is_asked_once_a_day_and_again_after_midnight(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = Provider(limit=3)
        limits = provider.open(tmp_path)
        assert await provider.send(limits) == 3
        assert provider.asked == 1
        provider.move_to_tomorrow()
        provider.limit = 5
        assert await provider.send(limits) == 5
        assert provider.asked == 2
        limits.close()

    run(scenario)


def test_two_runs_together_use_what_is_left_and_no_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = Provider(limit=20, used=8)
        first, second = provider.open(tmp_path), provider.open(tmp_path)
        assert await provider.send(first, most=5) == 5
        sent = await asyncio.gather(provider.send(first), provider.send(second))
        assert sum(sent) == 7
        assert provider.used == 20
        for limits in (first, second):
            limits.close()

    run(scenario)


def test_requests_sent_from_elsewhere_are_seen_by_the_next_run_and_so_are_bought_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = Provider(limit=10)
        for used_elsewhere, limit, expected in ((6, 10, 2), (0, 10, 0), (0, 1000, 100)):
            provider.used += used_elsewhere
            provider.limit = limit
            limits = provider.open(tmp_path)
            assert await provider.send(limits, most=2 if limit == 10 else 100) == expected
            limits.close()
            if expected == 2:
                provider.used = 10

    run(scenario)


@pytest.mark.parametrize("trouble", [None, RefusedError("No such path.", fix="Mend it.", reason="model_unknown")])
def test_where_the_provider_does_not_say_requests_are_counted(tmp_path: Path, trouble: Exception | None) -> None:
    async def scenario() -> None:
        provider = Provider(tells=False, trouble=trouble)
        limits = provider.open(tmp_path, requests_per_day=4)
        assert await provider.send(limits) == 4
        limits.close()

    run(scenario)


def test_nothing_is_under_way_while_the_provider_is_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        provider = Provider()
        first, second = provider.open(tmp_path), provider.open(tmp_path)
        assert first.try_take(1) > 0.0, "the provider is being asked"
        first.give_back()
        assert second.try_take(1) > 0.0, "the only slot is kept meanwhile"
        assert provider.asked == 0
        await asyncio.sleep(0.01)
        assert provider.asked == 1, "the other one could not even ask"
        first.close()
        second.close()

    run(scenario)


def test_looking_at_a_days_use_writes_nothing(tmp_path: Path) -> None:
    pool = Pool("free", 1, requests_per_day=4)
    assert read_day_use(DataPaths(tmp_path / "none"), pool, NOON) == DayUse(NOON + DAY_S / 2, 4)
    assert not (tmp_path / "none").exists()
    limits = SharedLimits(DataPaths(tmp_path), pool, lambda: NOON)
    assert limits.try_take(1) == 0.0
    limits.close()
    use = read_day_use(DataPaths(tmp_path), pool, NOON)
    assert (use.sent, use.remaining) == (1, 3)
    assert use.describe() == "3 of 4 requests left today, as counted here"
    assert read_day_use(DataPaths(tmp_path), pool, NOON + DAY_S).remaining == 4


def test_a_long_wait_that_is_no_quota_is_not_called_one() -> None:
    error = build_quota_error(Pool("paid", 4), 7200.0, None)
    assert error.what == "The server of the pool 'paid' lets nothing pass for 2.0 h."


def catalogue_of(*models: str, kind: str = "openai") -> Catalogue:
    catalogue = make_catalogue({"free": Pool("free", 1)})
    rows = {name: Model(name, name, "", "", True, True, "", "endpoint", "free", "") for name in models}
    endpoints = {"endpoint": Endpoint("endpoint", kind, "http://127.0.0.1:1")}  # type: ignore[arg-type]
    return Catalogue(catalogue.concepts, catalogue.templates, rows, endpoints, catalogue.pools, catalogue.replicates)


def test_a_quota_of_free_models_is_asked_for_a_pool_of_nothing_else() -> None:
    assert find_free_endpoint(catalogue_of("a:free", "b:free"), "free") == "endpoint"
    assert find_free_endpoint(catalogue_of("a:free", "b"), "free") is None
    assert find_free_endpoint(catalogue_of("a:free"), "other") is None
    assert find_free_endpoint(catalogue_of("a", kind="scripted"), "free") is None
