"""The disk beside the event loop: a thread that makes outcomes durable in batches and writes their files.

While one batch waits for the disk the next one gathers, so that a slow disk makes batches larger and not the run
slower.
"""

from __future__ import annotations

import asyncio
import queue
import shutil
import threading
from collections.abc import Callable, Sequence

from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.store.generations import GenerationStore, Outcome
from daydreaming_dagster.store.journal import Journal

LEAST_FREE_BYTES = 64 * 1024 * 1024
"""Below this much free space no further call is sent, so that the answers still under way can be stored."""

_Item = tuple[Outcome, "asyncio.Future[None]"]


class DurableWriter:
    """Stores outcomes from a thread of its own. Use as an async context manager inside the loop that commits.

    Args:
        store: where the files go.
        on_stored: told of each batch, from the writer's thread, after its files are written.
    """

    def __init__(self, store: GenerationStore, on_stored: Callable[[Sequence[Outcome]], None] | None = None) -> None:
        self._store = store
        self._on_stored = on_stored
        self._journal = Journal(store.paths)
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="durable-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> DurableWriter:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    @property
    def backlog(self) -> int:
        """Outcomes that wait for the disk."""
        return self._queue.qsize()

    async def commit(self, outcome: Outcome) -> None:
        """Returns when the outcome is durable and its files can be read.

        Raises:
            StoreError: the disk refused it.
        """
        if self._loop is None:
            raise RuntimeError("the writer is not running")
        future = self._loop.create_future()
        self._queue.put((outcome, future))
        await future

    def require_space(self) -> None:
        """Raises `StoreError` when the disk is so full that answers under way could be lost."""
        folder = self._store.paths.root
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE_BYTES:
            raise StoreError(
                f"Only {free // 2**20} MiB are free on the disk of {folder}; no further call is made.",
                fix="Free some disk space (df -h), then run the command again; everything answered so far is stored.",
                reason="disk_full",
            )

    def _serve(self) -> None:
        running = True
        while running:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            running = None not in batch
            items = [item for item in batch if item is not None]
            if items:
                self._store_batch(items)
        self._journal.close()

    def _store_batch(self, items: list[_Item]) -> None:
        error: DayDreamingError | None = None
        outcomes = [outcome for outcome, _ in items]
        try:
            self._journal.append(outcomes)
            for outcome in outcomes:
                self._store.write_outcome(outcome)
            if self._on_stored is not None:
                self._on_stored(outcomes)
            self._journal.retire_if_large()
        except DayDreamingError as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001 - the thread must live on: others wait for their own outcomes
            error = StoreError(
                f"Responses could not be stored: {type(caught).__name__}: {caught}.",
                fix="Look at the disk with `daydreaming doctor`, then run the command again.",
            )
        if self._loop is not None:
            self._loop.call_soon_threadsafe(_resolve, [future for _, future in items], error)


def _resolve(futures: Sequence[asyncio.Future[None]], error: DayDreamingError | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
