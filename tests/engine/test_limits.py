from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.engine.limits import SharedLimits
from daydreaming_dagster.store.paths import DataPaths


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def open_limits(folder: Path, clock: Clock, **limits: int) -> SharedLimits:
    return SharedLimits(DataPaths(folder), Pool("pool/of: mine", **{"max_concurrent": 100, **limits}), clock)


def take_all(limits: SharedLimits, tokens: int = 1, most: int = 1000) -> int:
    count = 0
    while count < most and limits.try_take(tokens) == 0.0:
        count += 1
    return count


def test_two_runs_share_the_slots_of_a_pool(tmp_path: Path) -> None:
    first, second = (open_limits(tmp_path, Clock(), max_concurrent=3) for _ in range(2))
    assert take_all(first) == 3
    assert second.try_take(1) > 0.0
    first.release()
    assert first.try_take(1) == 0.0, "it goes to the run's own next call"
    first.release()
    first.give_back()
    assert second.try_take(1) == 0.0
    first.close()
    second.close()


def hold_slots(folder: Path, ready: Connection) -> None:
    limits = open_limits(folder, Clock(), max_concurrent=3)
    ready.send(take_all(limits))
    signal.pause()


def test_a_killed_process_gives_its_slots_back(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=hold_slots, args=(tmp_path, there))
    process.start()
    try:
        assert here.recv() == 3
        clock = Clock()
        limits = open_limits(tmp_path, clock, max_concurrent=3)
        assert limits.try_take(1) > 0.0
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        clock.now += 1.0
        assert take_all(limits) == 3
        limits.close()
    finally:
        process.kill()
        process.join()
        here.close()
        there.close()


@pytest.fixture
def few_files() -> Iterator[None]:
    """As most shells start a process: with room for a thousand open files, and leave to ask for more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_files")
def test_a_pool_of_thousands_of_calls_makes_room_for_their_open_files(tmp_path: Path) -> None:
    limits = open_limits(tmp_path, Clock(), max_concurrent=1500)
    assert take_all(limits, most=2000) == 1500
    limits.close()


def test_requests_per_minute_hold_for_both_runs_and_come_back_after_a_minute(tmp_path: Path) -> None:
    clock = Clock()
    first, second = (open_limits(tmp_path, clock, requests_per_minute=10) for _ in range(2))
    assert take_all(first, most=6) == 6
    assert take_all(second) == 4
    assert first.try_take(1) == pytest.approx(60.0, abs=0.1)
    clock.now += 60.1
    assert take_all(first) == 10
    first.close()
    second.close()


def test_requests_per_day_are_counted_from_midnight_utc(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = 86_400.0 * 20_000 + 86_000.0
    limits = open_limits(tmp_path, clock, requests_per_day=5)
    assert take_all(limits) == 5
    assert limits.try_take(1) == pytest.approx(400.0, abs=0.1)
    clock.now += 400.5
    assert take_all(limits) == 5
    limits.close()


def test_tokens_per_minute_count_what_a_call_could_use(tmp_path: Path) -> None:
    clock = Clock()
    limits = open_limits(tmp_path, clock, tokens_per_minute=100_000)
    assert take_all(limits, tokens=9_000) == 11
    clock.now += 60.1
    assert limits.try_take(500_000) == 0.0, "a call that is larger than the limit goes alone"
    assert limits.try_take(1) > 0.0
    limits.close()


def test_what_one_limit_refuses_costs_nothing_of_the_others(tmp_path: Path) -> None:
    clock = Clock()
    limits = open_limits(tmp_path, clock, max_concurrent=2, requests_per_minute=10, tokens_per_minute=1000)
    assert limits.try_take(900) == 0.0
    limits.release()
    for _ in range(20):
        assert limits.try_take(900) > 0.0
    clock.now += 60.1
    assert take_all(limits, tokens=1) == 2, "no slot was lost"
    limits.close()
