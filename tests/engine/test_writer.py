"""The writer beside the loop: what was committed is there, whoever wrote it."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.store.outcomes import make_outcome

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.writer import DurableWriter
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.journal import Entry
from daydreaming_dagster.store.paths import DataPaths


def test_a_long_run_has_its_folders_made_by_a_process_and_goes_on_when_that_dies(tmp_path: Path) -> None:
    store = GenerationStore(DataPaths(tmp_path))

    async def commit(writer: DurableWriter, start: int, count: int) -> None:
        numbers = range(start, start + count)
        await asyncio.gather(*(writer.commit(Entry(None, make_outcome(f"d_{n}"))) for n in numbers))
        for number in numbers:
            assert store.find_parsed(Stage.DRAFT, f"d_{number}") is not None

    async def run() -> None:
        async with DurableWriter(store, "run") as writer:
            await commit(writer, 0, 120)
            assert writer._folder_process is None
            await commit(writer, 120, 50)
            assert writer._folder_process is not None
            assert writer._folder_process._process is not None
            process = writer._folder_process._process.popen
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            await commit(writer, 170, 50)
            assert writer.trouble is None

    asyncio.run(run())
    assert len(set(store.iter_gen_ids(Stage.DRAFT))) == 220


def test_what_is_stored_already_is_replaced_and_kept_by_the_process_as_by_the_thread(tmp_path: Path) -> None:
    store = GenerationStore(DataPaths(tmp_path))

    async def run() -> None:
        async with DurableWriter(store, "run") as writer:
            for text in ("first", "second"):
                entries = [Entry(None, make_outcome(f"d_{n}", text=text, call_id=f"{text}-{n}")) for n in range(150)]
                await asyncio.gather(*(writer.commit(entry) for entry in entries))

    asyncio.run(run())
    for number in (0, 149):
        assert store.find_raw(Stage.DRAFT, f"d_{number}") == "second"
        assert [version.text_path.read_text() for version in store.versions(Stage.DRAFT, f"d_{number}")] == ["first"]
