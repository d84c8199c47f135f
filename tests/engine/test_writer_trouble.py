"""What the disk refuses beside the outcomes themselves ends a run; it leaves nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.store.outcomes import make_outcome

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine import writer as module
from daydreaming_dagster.engine.writer import DurableWriter
from daydreaming_dagster.store.generations import GenerationStore, Outcome
from daydreaming_dagster.store.journal import Entry
from daydreaming_dagster.store.paths import DataPaths

LONGEST_S = 30.0


async def commit_two(writer: DurableWriter) -> None:
    for name in ("d_1", "d_2"):
        await asyncio.wait_for(writer.commit(Entry(None, make_outcome(name))), LONGEST_S)


def test_a_disk_that_does_not_say_what_is_free_is_trouble_and_what_came_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BOOKING_INTERVAL_S", 0.0)
    store = GenerationStore(DataPaths(tmp_path))
    answers = iter([1 << 40])

    def read_free_bytes() -> int:
        for answer in answers:
            return answer
        raise OSError(5, "Input/output error")

    async def run() -> StoreError | None:
        async with DurableWriter(store, "run", read_free_bytes=read_free_bytes) as writer:
            await commit_two(writer)
        return writer.trouble

    assert "Input/output error" in str(asyncio.run(run()))
    assert all(store.find_parsed(Stage.DRAFT, name) for name in ("d_1", "d_2"))


def test_a_listener_that_fails_is_trouble_and_what_came_is_stored(tmp_path: Path) -> None:
    store = GenerationStore(DataPaths(tmp_path))

    def fail(_: Sequence[Outcome]) -> None:
        raise RuntimeError("nobody listens")

    async def run() -> StoreError | None:
        async with DurableWriter(store, "run", fail) as writer:
            await commit_two(writer)
        return writer.trouble

    assert "nobody listens" in str(asyncio.run(run()))
    assert all(store.find_parsed(Stage.DRAFT, name) for name in ("d_1", "d_2"))


def test_an_index_that_cannot_be_opened_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    paths.index.mkdir(parents=True)

    async def run() -> None:
        async with DurableWriter(GenerationStore(paths), "run"):
            raise AssertionError("it was opened")

    with pytest.raises(StoreError, match="index"):
        asyncio.run(run())
