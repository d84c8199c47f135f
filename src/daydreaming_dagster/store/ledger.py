"""The ledger: every call that was ever sent and what became of it, budgets, and what is whose, in one SQLite file.

Calls come from the journal, a batch at a time; the same call can be written twice without harm. Money is counted in
scopes (`run:<id>`, `cohort:<id>`): what a scope has spent, and what runs have set aside of it. A run sets aside more
than it needs at the moment (a lease), so that it does not have to ask for every call.

    limit - spent - leases of all living runs = what can still be set aside
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.store.cache_files import open_for_reading
from daydreaming_dagster.store.paths import DataPaths

_BUSY_TIMEOUT_S = 60.0
_VARIABLES = 500  # per statement; SQLite allows more, older ones 999


class CallState(StrEnum):
    """What became of a call."""

    ANSWERED = "answered"
    FAILED = "failed"
    """It ended without an answer, and what it cost is known (usually nothing)."""
    UNKNOWN = "unknown"
    """Nobody here knows whether it was answered and charged: its process died, or the connection broke."""


class Amount(NamedTuple):
    """Money and tokens."""

    usd: float = 0.0
    tokens: int = 0

    def __add__(self, other: tuple[float, int]) -> Amount:  # type: ignore[override]
        return Amount(self.usd + other[0], self.tokens + other[1])

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.usd - other.usd, self.tokens - other.tokens)


class Limits(NamedTuple):
    """Upper bounds of a scope; None where there is none."""

    usd: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call.

    Attributes:
        owner: the run of which process sent it.
        sent_at, ended_at: seconds since 1970; `ended_at` is None when nobody saw the end.
        reason: why it failed or is unknown; empty for answered ones.
        cost_usd: what it cost; None when nobody knows.
        reserved_usd, reserved_tokens: the worst case, set aside before it was sent.
    """

    call_id: str
    owner: str
    gen_id: str
    stage: str
    run_id: str
    cohort_id: str
    template_id: str
    llm_model_id: str
    endpoint: str
    pool: str
    sent_at: float
    reserved_usd: float = 0.0
    reserved_tokens: int = 0
    state: str = CallState.UNKNOWN
    ended_at: float | None = None
    reason: str = ""
    response_id: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that pay for it."""
        return build_scopes(self.run_id, self.cohort_id)

    @property
    def knowledge(self) -> tuple[bool, bool, bool]:
        """How much is known of it, in an order: what became of it, what it cost, and when it ended."""
        return self.state != CallState.UNKNOWN, self.cost_usd is not None, self.ended_at is not None

    @property
    def spent(self) -> Amount:
        """What is counted against budgets: what is known, else the worst case."""
        if self.state == CallState.FAILED and self.cost_usd is None:
            usd = 0.0
        else:
            usd = self.reserved_usd if self.cost_usd is None else self.cost_usd
        known = self.prompt_tokens is not None or self.completion_tokens is not None
        if known:
            return Amount(usd, (self.prompt_tokens or 0) + (self.completion_tokens or 0))
        return Amount(usd, 0 if self.state == CallState.FAILED else self.reserved_tokens)


@dataclass(frozen=True, slots=True)
class Spending:
    """What calls of one kind came to.

    Attributes:
        unpriced: calls of which nobody knows the price.
    """

    state: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    unpriced: int


@dataclass(frozen=True, slots=True)
class RunMeans:
    """The calls of one run for one template and model.

    Attributes:
        sent, answered: calls; a call that failed was sent again, or not.
        prompt_tokens, completion_tokens, seconds: means of the answered ones; None when nobody said.
    """

    stage: str
    template_id: str
    llm_model_id: str
    sent: int
    answered: int
    prompt_tokens: float | None
    completion_tokens: float | None
    seconds: float | None


def build_scopes(run_id: str, cohort_id: str) -> tuple[str, ...]:
    """The names under which a run's spending is counted."""
    return (f"run:{run_id}", find_cohort_scope(cohort_id)) if cohort_id else (f"run:{run_id}",)


def find_cohort_scope(cohort_id: str) -> str:
    """The name under which a cohort's spending is counted."""
    return f"cohort:{cohort_id}"


_MEASURED = ("prompt_tokens", "completion_tokens", "ended_at - sent_at")
_CALL_COLUMNS = tuple(field.name for field in fields(CallRow))
_as_row = attrgetter(*_CALL_COLUMNS)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT PRIMARY KEY, owner TEXT, gen_id TEXT, stage TEXT, run_id TEXT, cohort_id TEXT, template_id TEXT,
    llm_model_id TEXT, endpoint TEXT, pool TEXT, sent_at REAL, reserved_usd REAL, reserved_tokens INTEGER, state TEXT,
    ended_at REAL, reason TEXT, response_id TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, cost_usd REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_by_gen ON calls (gen_id);
CREATE TABLE IF NOT EXISTS scopes (
    scope TEXT PRIMARY KEY, limit_usd REAL, limit_tokens INTEGER,
    spent_usd REAL NOT NULL DEFAULT 0, spent_tokens INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    scope TEXT, owner TEXT, usd REAL NOT NULL, tokens INTEGER NOT NULL, PRIMARY KEY (scope, owner)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claims (gen_id TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS claims_by_owner ON claims (owner);
"""


class Ledger:
    """A connection to the ledger; each thread opens its own.

    Args:
        paths: the data root.
        read_only: leave no trace; where there is no ledger yet, an empty one is seen.
    """

    def __init__(self, paths: DataPaths, *, read_only: bool = False) -> None:
        self.paths = paths
        with explain_sqlite_errors(paths):
            if read_only:
                self._db = _find_existing(paths) or _make_empty()
                return
            paths.ledger.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                paths.ledger, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            # NORMAL survives a killed process; for a lost machine the journal is kept until the disk has everything.
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    # Calls --------------------------------------------------------------------------------------------------------
    def record(self, rows: Sequence[CallRow], *, only_news: bool = False) -> None:
        """Stores calls, counts what they spent, and takes it out of their owners' leases.

        A call that is known already is replaced, and its spending corrected: so a lost answer can be looked up later.

        Args:
            rows: the calls.
            only_news: leave calls alone of which as much is known already, or more.
        """
        if not rows:
            return
        with self._transaction():
            known = self._find_calls([row.call_id for row in rows])
            if only_news:
                rows = [row for row in rows if row.call_id not in known or row.knowledge > known[row.call_id].knowledge]
            changes: defaultdict[tuple[str, str], Amount] = defaultdict(Amount)
            for row in rows:
                before = known.get(row.call_id)
                change = row.spent if before is None else row.spent - before.spent
                for scope in row.scopes:
                    changes[scope, row.owner] += change
            marks = ", ".join("?" * len(_CALL_COLUMNS))
            self._db.executemany(f"INSERT OR REPLACE INTO calls VALUES ({marks})", map(_as_row, rows))
            for (scope, owner), change in changes.items():
                self._db.execute(
                    "INSERT INTO scopes (scope, spent_usd, spent_tokens) VALUES (?, ?, ?) ON CONFLICT (scope) DO "
                    "UPDATE SET spent_usd = spent_usd + excluded.spent_usd, "
                    "spent_tokens = spent_tokens + excluded.spent_tokens",
                    (scope, *change),
                )
                self._db.execute(
                    "UPDATE leases SET usd = usd - ?, tokens = tokens - ? WHERE scope = ? AND owner = ?",
                    (*change, scope, owner),
                )

    def find_calls(self, gen_id: str) -> list[CallRow]:
        """All calls that were made for a generation, oldest first."""
        return self._select("WHERE gen_id = ? ORDER BY sent_at", gen_id)

    def read_columns(self, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Some fields of `CallRow` of all calls, oldest first."""
        return self._read(f"SELECT {', '.join(names)} FROM calls ORDER BY sent_at, call_id")

    def find_unsettled(self) -> list[CallRow]:
        """Calls whose cost nobody knows although a provider could be asked, or that nobody saw end."""
        return self._select("WHERE state = ? OR (state = ? AND cost_usd IS NULL)", "unknown", "answered")

    def summarize(self, cohort_id: str | None = None, run_id: str | None = None) -> list[Spending]:
        """Calls by state, of one cohort or run or of all."""
        conditions = [f"{name} = ?" for name, value in (("cohort_id", cohort_id), ("run_id", run_id)) if value]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self._read(
            "SELECT state, COUNT(*), COALESCE(SUM(prompt_tokens), 0), COALESCE(SUM(completion_tokens), 0), "
            "COALESCE(SUM(COALESCE(cost_usd, CASE state WHEN 'unknown' THEN reserved_usd END)), 0.0), "
            f"SUM(cost_usd IS NULL AND state <> 'failed') FROM calls {where} GROUP BY state",
            [value for value in (cohort_id, run_id) if value],
        )
        return [Spending(*row) for row in rows]

    def read_run_means(self) -> list[RunMeans]:
        """What calls were like in each run, by stage, template and model; those whose end nobody saw do not count."""
        rows = self._read(
            "SELECT stage, template_id, llm_model_id, COUNT(*), SUM(state = 'answered'), "
            + ", ".join(f"AVG({what}) FILTER (WHERE state = 'answered')" for what in _MEASURED)
            + " FROM calls WHERE ended_at IS NOT NULL AND reason <> 'given_up' "
            "GROUP BY stage, template_id, llm_model_id, run_id"
        )
        return [RunMeans(*row) for row in rows]

    # Money --------------------------------------------------------------------------------------------------------
    def set_limits(self, scope: str, limits: Limits) -> None:
        """Bounds what a scope may spend in all, what it has spent already included."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO scopes (scope, limit_usd, limit_tokens) VALUES (?, ?, ?) ON CONFLICT (scope) DO UPDATE "
                "SET limit_usd = excluded.limit_usd, limit_tokens = excluded.limit_tokens",
                (scope, *limits),
            )

    def find_scope(self, scope: str) -> tuple[Limits, Amount]:
        """Limits of a scope, and what it has spent."""
        rows = self._read(
            "SELECT limit_usd, limit_tokens, spent_usd, spent_tokens FROM scopes WHERE scope = ?", (scope,)
        )
        return (Limits(*rows[0][:2]), Amount(*rows[0][2:])) if rows else (Limits(), Amount())

    def lease(self, scope: str, owner: str, least: Amount, wanted: Amount) -> Amount | None:
        """Sets aside as much of `wanted` as there is; None when there is not even `least`."""
        with self._transaction():
            limits, spent = self.find_scope(scope)
            leased = Amount(
                *self._read(
                    "SELECT COALESCE(SUM(usd), 0.0), COALESCE(SUM(tokens), 0) FROM leases WHERE scope = ?", (scope,)
                )[0]
            )
            granted = Amount(
                _grant(limits.usd, spent.usd + leased.usd, wanted.usd),
                int(_grant(limits.tokens, spent.tokens + leased.tokens, wanted.tokens)),
            )
            if granted.usd < least.usd or granted.tokens < least.tokens:
                return None
            self._db.execute(
                "INSERT INTO leases VALUES (?, ?, ?, ?) ON CONFLICT (scope, owner) DO UPDATE "
                "SET usd = usd + excluded.usd, tokens = tokens + excluded.tokens",
                (scope, owner, *granted),
            )
            return granted

    def give_back(self, scope: str, owner: str, amount: Amount) -> None:
        """Returns a part of a lease that is not needed."""
        with self._transaction():
            self._db.execute(
                "UPDATE leases SET usd = usd - ?, tokens = tokens - ? WHERE scope = ? AND owner = ?",
                (*amount, scope, owner),
            )

    def find_lessees(self, scope: str) -> set[str]:
        """Owners who have set something aside."""
        rows = self._read("SELECT owner FROM leases WHERE scope = ? AND (usd > 1e-12 OR tokens > 0)", (scope,))
        return {owner for (owner,) in rows}

    # Who works on what ----------------------------------------------------------------------------------------------
    def claim(self, owner: str, groups: Sequence[Collection[str]]) -> tuple[list[int], set[str]]:
        """Claims whole groups of generations; a group of which somebody else has a part is left alone.

        Returns:
            Positions of the claimed groups, and the owners of what could not be claimed.
        """
        with self._transaction():
            holders = self._find_holders([gen_id for group in groups for gen_id in group])
            claimed: list[int] = []
            others: set[str] = set()
            for position, group in enumerate(groups):
                holding = {holders[gen_id] for gen_id in group if gen_id in holders} - {owner}
                if holding:
                    others |= holding
                else:
                    claimed.append(position)
            self._db.executemany(
                "INSERT OR IGNORE INTO claims VALUES (?, ?)",
                [(gen_id, owner) for position in claimed for gen_id in groups[position]],
            )
        return claimed, others

    def release(self, owner: str, gen_ids: Iterable[str] | None = None) -> None:
        """Gives up some claims, or all of an owner."""
        with self._transaction():
            if gen_ids is None:
                self._db.execute("DELETE FROM claims WHERE owner = ?", (owner,))
            else:
                self._db.executemany(
                    "DELETE FROM claims WHERE gen_id = ? AND owner = ?", [(gen_id, owner) for gen_id in gen_ids]
                )

    def forget_owner(self, owner: str) -> None:
        """Drops claims and leases of a run that has ended; what it spent stays."""
        with self._transaction():
            self._db.execute("DELETE FROM claims WHERE owner = ?", (owner,))
            self._db.execute("DELETE FROM leases WHERE owner = ?", (owner,))

    def find_owners(self) -> set[str]:
        """Everybody who holds a claim or a lease."""
        rows = self._read("SELECT DISTINCT owner FROM claims UNION SELECT DISTINCT owner FROM leases")
        return {owner for (owner,) in rows}

    # SQL ----------------------------------------------------------------------------------------------------------
    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explain_sqlite_errors(self.paths):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _read(self, question: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The only place that reads: damage shows itself not before the page that has it is read."""
        with explain_sqlite_errors(self.paths):
            return self._db.execute(question, values).fetchall()

    def _select(self, condition: str, *values: Any) -> list[CallRow]:
        rows = self._read(f"SELECT {', '.join(_CALL_COLUMNS)} FROM calls {condition}", values)
        return [CallRow(*row) for row in rows]

    def _find_calls(self, call_ids: Sequence[str]) -> dict[str, CallRow]:
        rows = (row for part in _parts(call_ids) for row in self._select(f"WHERE call_id IN ({_marks(part)})", *part))
        return {row.call_id: row for row in rows}

    def _find_holders(self, gen_ids: Sequence[str]) -> dict[str, str]:
        holders: dict[str, str] = {}
        for part in _parts(gen_ids):
            holders.update(self._read(f"SELECT gen_id, owner FROM claims WHERE gen_id IN ({_marks(part)})", part))
        return holders


@contextmanager
def explain_sqlite_errors(paths: DataPaths) -> Iterator[None]:
    """Turns SQLite's errors into a `StoreError` that says what to do."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{paths.ledger} cannot be used: {error}.",
            fix="Check the disk and the permissions of the folder with `daydreaming doctor`, then run the command "
            "again; nothing that was answered is lost.",
        ) from error


def _find_existing(paths: DataPaths) -> sqlite3.Connection | None:
    """To be read and not changed; None when there is none, or somebody is just making it."""
    if not paths.ledger.exists():
        return None
    database = open_for_reading(paths.ledger)
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'claims_by_owner'").fetchone() is not None:
        return database
    database.close()
    return None


def _make_empty() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.executescript(_SCHEMA)
    return database


def _grant(limit: float | None, taken: float, wanted: float) -> float:
    return wanted if limit is None else max(0.0, min(wanted, limit - taken))


def _parts(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + _VARIABLES] for start in range(0, len(values), _VARIABLES))


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
