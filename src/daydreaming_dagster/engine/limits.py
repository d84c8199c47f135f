"""The limits of a pool's row, held by all processes that share a data root.

Calls at a time are slots, each a locked file: whoever dies, by whatever cause, gives them back. Requests and tokens
per minute are counted in a SQLite bucket per pool (pyrate-limiter), requests per day in `quota`. Nothing here waits:
the answer is always "now" or "in so many seconds".
"""

from __future__ import annotations

import fcntl
import os
import random
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from pyrate_limiter import Decision, Duration, Rate, RateItem, SlidingWindowLog, SQLiteBucket

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.errors import RateLimitedError
from daydreaming_dagster.engine.quota import DayCount, ProviderQuota, build_quota_error, find_pool_folder
from daydreaming_dagster.llm.openrouter_records import KeyStatus
from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths

_SLOT_RETRY_S = 0.1
_ANSWER_RETRY_S = 0.05
_OTHER_FILES = 512
"""Open files that a run needs besides those of its calls."""
_TOKEN_UNITS = 1000
"""A token limit is counted in thousandths of itself: the bucket keeps a row per unit."""

_TAKES_BETWEEN_CLEANINGS = 500


class SharedLimits:
    """One pool's limits, as one run of one process sees them. Use it from one thread.

    Args:
        paths: the data root that is shared.
        pool: the limits.
        now_s: seconds since 1970.
        ask_provider: asks what is left of today's requests; None for providers that do not say, and for pools that no
            such quota is about.
    """

    def __init__(
        self,
        paths: DataPaths,
        pool: Pool,
        now_s: Callable[[], float] = time.time,
        ask_provider: Callable[[], Awaitable[KeyStatus]] | None = None,
    ) -> None:
        self._pool = pool
        folder = find_pool_folder(paths, pool)
        self._slots = _Slots(folder, pool.max_concurrent, now_s)
        self._now_s = now_s
        self._requests = self._tokens = self._day = self._provider = None
        if pool.requests_per_minute is not None:
            self._requests = _MinuteRate(folder, "requests_per_minute", pool.requests_per_minute)
        if pool.tokens_per_minute is not None:
            self._tokens = _MinuteRate(folder, "tokens_per_minute", pool.tokens_per_minute)
        if pool.requests_per_day is not None or ask_provider is not None:
            self._day = DayCount(folder, pool.requests_per_day)
        if ask_provider is not None and self._day is not None:
            self._provider = ProviderQuota(ask_provider, self._day, now_s)
        self._has_slot = False

    def try_take(self, tokens: int) -> float:
        """Takes room for one call and returns 0.0, or takes none and returns the seconds after which to ask again.

        Args:
            tokens: the most that the call can use, prompt and answer together.
        """
        if not self._has_slot and not self._slots.try_take():
            return _SLOT_RETRY_S * (0.5 + random.random())
        # In a pool for one call at a time nothing is under way while the provider is asked: its answer is exact.
        self._has_slot = self._provider is not None and self._provider.is_asking()
        if self._has_slot:
            return _ANSWER_RETRY_S
        delay_s = self._try_take_rates(tokens)
        if delay_s > 0.0:
            self._slots.release()
            return delay_s
        for rate in self._rates:
            rate.spend()
        return 0.0

    def release(self) -> None:
        """A call has ended; its slot is kept for the next one until `give_back`."""
        self._slots.release()

    def give_back(self) -> None:
        """Nothing more starts for now: lets others have the slots that are free."""
        self._slots.give_back()

    def explain_wait(self, delay_s: float) -> RateLimitedError:
        """Why nothing may be sent for so many seconds, and what to do."""
        use = None if self._day is None else self._day.read(self._now_s())
        return build_quota_error(self._pool, delay_s, use)

    def close(self) -> None:
        """Gives back everything that is held."""
        self._slots.close()
        for rate in self._rates:
            rate.close()
        if self._provider is not None:
            self._provider.close()
        if self._day is not None:
            self._day.close()

    @property
    def _rates(self) -> list[_MinuteRate]:
        return [rate for rate in (self._requests, self._tokens) if rate is not None]

    def _try_take_rates(self, tokens: int) -> float:
        now_s = self._now_s()
        for rate, amount in ((self._requests, 1), (self._tokens, tokens)):
            if rate is not None and (delay_s := rate.try_take(amount, int(now_s * 1000))) > 0.0:
                return delay_s
        return 0.0 if self._day is None else self._day.try_take(now_s)  # last: it takes nothing back


class _Slots:
    """Room for calls at a time: as many files as there are slots, and a lock on each that is in use.

    Whoever finds none free says so by waiting in a file of its own; the others then take no slot beyond their share.
    A slot goes from one call to the next without being unlocked, unless there is no next one.
    """

    def __init__(self, folder: Path, count: int, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._folder = folder / "slots"
        self._count = min(count, _make_room_for_files(count))
        self._used: list[tuple[int, int]] = []
        self._free: list[tuple[int, int]] = []
        self._waiting: int | None = None
        self._looked_at = 0.0
        self._share = self._count
        with files.explain_os_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)

    def try_take(self) -> bool:
        if len(self._used) >= self._find_share():
            self.give_back()
            self._wait()
            return False
        if not self._free and (locked := self._lock_one()) is not None:
            self._free.append(locked)
        if not self._free:
            self._wait()
            return False
        self._used.append(self._free.pop())
        self._stop_waiting()
        return True

    def release(self) -> None:
        if self._used:  # nothing is held any more when the run was given up
            self._free.append(self._used.pop())

    def give_back(self) -> None:
        while self._free:
            _, handle = self._free.pop()
            os.close(handle)

    def _lock_one(self) -> tuple[int, int] | None:
        start = random.randrange(self._count) if self._waiting is not None else len(self._used)
        held = {slot for slot, _ in self._used}
        for step in range(self._count):
            slot = (start + step) % self._count
            if slot not in held and (handle := self._try_lock(f"slot-{slot}")) is not None:
                return slot, handle
        return None

    def close(self) -> None:
        while self._used:
            self.release()
        self.give_back()
        self._stop_waiting()

    def _find_share(self) -> int:
        """How many slots this process may hold: all, or its part when others wait. Looked up now and then."""
        now = self._now_s()
        if abs(now - self._looked_at) >= _SLOT_RETRY_S:
            self._looked_at = now
            others = self._count_waiting() - (self._waiting is not None)
            self._share = max(1, -(-self._count // (1 + others))) if others > 0 else self._count
        return self._share

    def _count_waiting(self) -> int:
        count = 0
        for path in self._folder.glob("waiting-*"):
            handle = self._try_lock(path.name, create=False)
            if handle is None:
                count += 1
            else:  # its process has died
                path.unlink(missing_ok=True)
                os.close(handle)
        return count

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self._try_lock(f"waiting-{os.getpid()}-{id(self)}")

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            (self._folder / f"waiting-{os.getpid()}-{id(self)}").unlink(missing_ok=True)
            os.close(self._waiting)
            self._waiting = None

    def _try_lock(self, name: str, *, create: bool = True) -> int | None:
        try:
            handle = os.open(self._folder / name, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return handle


def _make_room_for_files(calls: int) -> int:
    """How many calls can be under way at a time, of so many: each needs a slot and a connection, which are open files.

    A process may raise its own limit of open files, which is low as a rule, up to the one that it was given.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * calls + _OTHER_FILES
    if soft < wanted and soft != resource.RLIM_INFINITY:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return calls if soft == resource.RLIM_INFINITY else max(1, (soft - _OTHER_FILES) // 2)


class _MinuteRate:
    """A count per minute. What was taken but not spent, because another limit said no, is kept."""

    def __init__(self, folder: Path, name: str, limit: int) -> None:
        self._name = name
        self._unit = max(1, limit // _TOKEN_UNITS) if name.startswith("tokens") else 1
        self._limit = limit // self._unit
        self._in_hand = 0
        self._taken_at_ms = 0
        self._takes = 0
        with files.explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._bucket = SQLiteBucket.init_from_file(
            [Rate(self._limit, Duration.MINUTE)],
            table=name,
            db_path=str(folder / f"{name}.sqlite"),
            use_file_lock=True,
            algorithm=SlidingWindowLog(),
        )

    def try_take(self, amount: int, now_ms: int) -> float:
        weight = min(self._limit, -(-amount // self._unit))
        if self._in_hand >= weight and now_ms - self._taken_at_ms < int(Duration.MINUTE):
            return 0.0
        decision = self._bucket.put_decision(RateItem(self._name, now_ms, weight=weight))
        if not isinstance(decision, Decision):
            raise TypeError("a bucket on SQLite answers at once")
        self._takes += 1
        if not decision.allowed or self._takes % _TAKES_BETWEEN_CLEANINGS == 0:
            self._bucket.leak(now_ms)
        if not decision.allowed:
            return max(1, decision.retry_after_ms or 0) / 1000
        self._in_hand, self._taken_at_ms = weight, now_ms
        return 0.0

    def spend(self) -> None:
        self._in_hand = 0

    def close(self) -> None:
        self._bucket.close()  # type: ignore[no-untyped-call]
