"""How many requests of a pool are left today: counted here, and told by the provider where it tells.

All processes that share a data root count in one SQLite file per pool. A provider that knows more (requests sent from
elsewhere, a limit that nobody wrote down) is asked before the first request of a run and again after midnight. The
smaller of the two numbers holds. Days begin at midnight UTC, as providers count them.
"""

from __future__ import annotations

import asyncio
import shlex
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import quote

from daydreaming_dagster.domain.catalogue import Catalogue, Pool
from daydreaming_dagster.domain.errors import DayDreamingError, RateLimitedError, StoreError
from daydreaming_dagster.engine.prices import is_free
from daydreaming_dagster.llm.openrouter_records import KeyStatus
from daydreaming_dagster.store import files
from daydreaming_dagster.store.cache_files import open_for_reading
from daydreaming_dagster.store.paths import DataPaths

DAY_S = 86_400
_FILE = "requests_today.sqlite"
_BUSY_TIMEOUT_S = 10.0
_PATIENCE_S = 10.0
"""How long a provider may take to say what is left; without an answer, counting has to do."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS days (
    day INTEGER PRIMARY KEY, sent INTEGER NOT NULL DEFAULT 0, told_limit INTEGER, told_end INTEGER
)
"""


@runtime_checkable
class KeyRecords(Protocol):
    """A client whose provider says what a key may still do."""

    async def fetch_key_status(self) -> KeyStatus:
        """What the key may still do today."""
        ...


@dataclass(frozen=True, slots=True)
class DayUse:
    """How a pool stands today.

    Attributes:
        resets_at: when the next day begins, seconds since 1970.
        limit: requests a day by the pool's row; None for any number.
        sent: requests that this data root has sent today.
        told_limit: requests a day by the provider; None when it has not been asked today, or did not say.
        told_end: requests of this data root after which the provider's quota is used up; None as above.
    """

    resets_at: float
    limit: int | None = None
    sent: int = 0
    told_limit: int | None = None
    told_end: int | None = None

    @property
    def remaining(self) -> int | None:
        """Requests that may still be sent today; None for any number."""
        ends = [end for end in (self.limit, self.told_end) if end is not None]
        return max(0, min(ends) - self.sent) if ends else None

    @property
    def is_bound_by_provider(self) -> bool:
        """Whether it is the provider's word that holds, and not the row's number."""
        return self.told_end is not None and (self.limit is None or self.told_end < self.limit)

    def describe(self) -> str:
        """What is left and who says so, in a few words."""
        if self.remaining is None:
            return f"{self.sent:,} requests sent today, no limit known"
        if self.is_bound_by_provider:
            limit = f" of {self.told_limit:,}" if self.told_limit is not None else ""
            return f"{self.remaining:,}{limit} requests left today, as the provider says"
        return f"{self.remaining:,} of {self.limit:,} requests left today, as counted here"


class DayCount:
    """Requests of one pool by day, counted by all processes. Use it from one thread.

    Args:
        folder: the pool's folder.
        limit: requests a day; None for any number.
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        self._limit = limit
        self._path = folder / _FILE
        with files.explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with _explain(self._path):
            self._db = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            self._db.executescript(f"PRAGMA synchronous=OFF; {_SCHEMA}")  # enough for killed processes

    def try_take(self, now_s: float) -> float:
        """Counts one request and returns 0.0, or counts none and returns the seconds until midnight."""
        with _explain(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                use = _read(self._db, self._limit, now_s)
                if use.remaining == 0:
                    return use.resets_at - now_s
                self._db.execute(
                    "INSERT INTO days (day, sent) VALUES (?, 1) ON CONFLICT (day) DO UPDATE SET sent = sent + 1",
                    (find_day(now_s),),
                )
            finally:
                self._db.execute("COMMIT")
        return 0.0

    def note_told(self, now_s: float, limit: int | None, remaining: int, sent_before: int) -> None:
        """Keeps what the provider said.

        Args:
            now_s: seconds since 1970, when it was asked.
            limit: requests a day; None when it did not say.
            remaining: requests it would still answer today.
            sent_before: requests counted here when it was asked.
        """
        with _explain(self._path):
            self._db.execute(
                "INSERT INTO days (day, told_limit, told_end) VALUES (?, ?, ?) ON CONFLICT (day) DO UPDATE "
                "SET told_limit = excluded.told_limit, told_end = excluded.told_end",
                (find_day(now_s), limit, sent_before + remaining),
            )

    def read(self, now_s: float) -> DayUse:
        """How the pool stands."""
        with _explain(self._path):
            return _read(self._db, self._limit, now_s)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


class ProviderQuota:
    """Asks a provider once a day and run what is left, beside the event loop. Use it from the loop's thread.

    Args:
        fetch: asks the provider.
        count: takes the answer.
        now_s: seconds since 1970.
    """

    def __init__(self, fetch: Callable[[], Awaitable[KeyStatus]], count: DayCount, now_s: Callable[[], float]) -> None:
        self._fetch = fetch
        self._count = count
        self._now_s = now_s
        self._asked_day: int | None = None
        self._asking: asyncio.Task[None] | None = None

    def is_asking(self) -> bool:
        """Whether the answer is still to come; asks when nobody has asked today."""
        today = find_day(self._now_s())
        if self._asked_day != today:
            self._asked_day = today
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        return self._asking is not None and not self._asking.done()

    def close(self) -> None:
        """Waits for no answer any more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> None:
        asked_at = self._now_s()
        try:
            sent = self._count.read(asked_at).sent
            status = await asyncio.wait_for(self._fetch(), _PATIENCE_S)
        except (DayDreamingError, TimeoutError):
            return  # a provider that does not say: what is counted here has to do
        if status.free_requests_remaining is not None:
            self._count.note_told(asked_at, status.free_requests_limit, status.free_requests_remaining, sent)


def find_day(now_s: float) -> int:
    """The UTC day, counted from 1970."""
    return int(now_s // DAY_S)


def find_free_endpoint(catalogue: Catalogue, pool: str) -> str | None:
    """The endpoint whose free models, and nothing else, make up a pool; None when there is none.

    A provider's quota is one of free models. In a pool that mixes them with others, it says nothing of the others.
    """
    models = [model for model in catalogue.models.values() if model.pool == pool]
    endpoints = {model.endpoint for model in models}
    if len(endpoints) != 1:
        return None
    endpoint = catalogue.endpoints[endpoints.pop()]
    if endpoint.kind != "openai" or not all(is_free(model, endpoint) for model in models):
        return None
    return endpoint.endpoint


def find_pool_folder(paths: DataPaths, pool: Pool) -> Path:
    """Where a pool's counts and locks lie, whatever its name."""
    return paths.pool(quote(pool.pool, safe=" "))


def read_day_use(paths: DataPaths, pool: Pool, now_s: float) -> DayUse:
    """How a pool stands today; nothing is written."""
    path = find_pool_folder(paths, pool) / _FILE
    if not path.exists():
        return DayUse(_find_reset(now_s), pool.requests_per_day)
    with _explain(path), closing(open_for_reading(path, follow=True)) as database:
        return _read(database, pool.requests_per_day, now_s)


def read_day_uses(
    paths: DataPaths, catalogue: Catalogue, pools: Iterable[str], told: Mapping[str, KeyStatus], now_s: float
) -> dict[str, DayUse]:
    """How pools stand today, those of them that count days; nothing is written.

    Args:
        paths: the data root.
        catalogue: the inputs.
        pools: names of the pools to look at.
        told: what providers said of their keys just now, by endpoint; those not asked are left out.
        now_s: seconds since 1970.
    """
    uses = {}
    for name in pools:
        use = read_day_use(paths, catalogue.pools[name], now_s)
        status = told.get(find_free_endpoint(catalogue, name) or "")
        if status is not None and status.free_requests_remaining is not None:
            end = use.sent + status.free_requests_remaining
            use = replace(use, told_limit=status.free_requests_limit, told_end=end)
        if use.remaining is not None:
            uses[name] = use
    return uses


def build_quota_error(pool: Pool, delay_s: float, use: DayUse | None) -> RateLimitedError:
    """Why a pool sends nothing more for so long, when it goes on, and what to do.

    Args:
        pool: its row.
        delay_s: how long nothing may be sent, seconds.
        use: how it stands today; None when it does not count days.
    """
    again = "Run the same command again then: it goes on where this run stopped."
    if use is None or use.remaining != 0:
        return RateLimitedError(
            f"The server of the pool '{pool.pool}' lets nothing pass for {_show_hours(delay_s)}.",
            fix=again,
            reason="daily_quota",
            retry_after_s=delay_s,
        )
    if use.is_bound_by_provider:
        limit = "the provider says so" if use.told_limit is None else f"the provider allows {use.told_limit:,} a day"
        advice = "More a day is up to the provider; OpenRouter allows more from 10 credits bought."
    else:
        limit = f"requests_per_day in data/1_raw/llm_pools.csv allows {use.limit:,}"
        advice = "To send more today, raise that number."
    return RateLimitedError(
        f"The pool '{pool.pool}' has used up today's requests: {limit}, and none is left until 00:00 UTC, in "
        f"{_show_hours(delay_s)}.",
        fix=f"{again} {advice}",
        reason="daily_quota",
        retry_after_s=delay_s,
    )


def _show_hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"


def _read(database: sqlite3.Connection, limit: int | None, now_s: float) -> DayUse:
    cursor = database.execute("SELECT sent, told_limit, told_end FROM days WHERE day = ?", (find_day(now_s),))
    return DayUse(_find_reset(now_s), limit, *(cursor.fetchone() or ()))


def _find_reset(now_s: float) -> float:
    return float((find_day(now_s) + 1) * DAY_S)


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"{path} cannot be used: {error}.",
            fix=f"Delete it (today's requests are then counted anew): rm {shlex.quote(str(path))}",
        ) from error
