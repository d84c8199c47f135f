"""What the explorer asks: one SQLite file with a row per generation, scores per essay, and a full-text index.

It is a cache of the files like `store/index.py`, kept apart from it because runs must not pay for it: it holds titles,
cohorts and every word, and only the explorer fills it. It can be deleted at any time. `refresh` reads what changed
since last time, told by each folder's modification time. The next files are read in a thread while those before are
taken in, and scores are summed up every few seconds and not for each evaluation: a large store is mostly waiting for
the disk otherwise.

Its tables are `store/search_schema.py`; what is taken in of a generation, `store/search_documents.py`.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cache_files import open_cache, open_for_reading
from daydreaming_dagster.store.cohort_files import iter_cohort_ids, read_cohort
from daydreaming_dagster.store.combinations import read_combo_registry
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.index import read_folder_times
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.search_documents import Document, DocumentReader, Files, Scales
from daydreaming_dagster.store.search_schema import COLUMNS, prepare_tables

_GENERATIONS_AT_ONCE = 2000
_COUNT_EVERY_S = 5.0
"""How old scores and the counts of cohorts may get while a large store is read for the first time."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh found.

    Attributes:
        read: generations that were new or changed.
        gone: generations whose folders were removed.
        scanned: all generations of the store.
    """

    read: int = 0
    gone: int = 0
    scanned: int = 0

    @property
    def changed(self) -> bool:
        """Whether anything is different from before."""
        return bool(self.read or self.gone)


class SearchIndex:
    """The writing side; one thread of one process uses it at a time, readers use `open_reader`."""

    def __init__(self, store: GenerationStore, scales: Scales | None = None, place: Path | None = None) -> None:
        """Opens the index, or makes it.

        Args:
            store: the generations.
            scales: a score that is off its scale is none.
            place: the file, where it is not the one beside the data.
        """
        self._paths = store.paths
        self._place = place or store.paths.search_index
        self._reader = DocumentReader(store, scales or {})
        self._count_at = time.monotonic() + _COUNT_EVERY_S
        with _explain(self._place):
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._db = open_cache(self._place, prepare_tables)

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    def refresh(self, keep_going: Callable[[Refreshed], bool] = lambda _: True) -> Refreshed:
        """Takes in what changed on disk; readers see it in pieces, each of them whole.

        Args:
            keep_going: is asked after each piece, with what was read so far; False ends the refresh early.
        """
        self._reader.forget_texts()
        found = Refreshed()
        with _explain(self._place):
            changed = self._refresh_combinations() | self._refresh_cohorts() | self._score_essays()
            if changed:
                self._count_progress()
            for stage in Stage:
                for piece in self._refresh_stage(stage):
                    found = replace(found, read=found.read + piece.read, gone=found.gone + piece.gone)
                    if time.monotonic() > self._count_at:
                        self._sum_up()
                    if piece.changed and not keep_going(found):
                        return found
                found = replace(found, scanned=found.scanned + self._count(stage))
            if found.changed:
                self._sum_up()
        return found

    def replace_ranking(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Takes in the ranking of essays; rows as the columns of the table `ranking`."""
        with _explain(self._place), self._db:
            self._db.execute("DELETE FROM ranking")
            self._db.executemany(f"INSERT OR REPLACE INTO ranking VALUES ({_marks(9)})", rows)
            self._bump()

    # Generations --------------------------------------------------------------------------------------------------
    def _count(self, stage: Stage) -> int:
        return int(self._db.execute("SELECT count(*) FROM generation WHERE stage = ?", (stage,)).fetchone()[0])

    def _refresh_stage(self, stage: Stage) -> Iterator[Refreshed]:
        started_ns = time.time_ns()
        folders = read_folder_times(self._paths, stage)
        known = dict(self._db.execute("SELECT gen_id, mtime_ns FROM generation WHERE stage = ?", (stage,)))
        gone = known.keys() - folders.keys()
        if gone:
            with self._db:
                self._remove(stage, gone)
                self._bump()
            yield Refreshed(gone=len(gone))
        # In the order of their ids, rows are added at the end of most of the indexes and not all over them.
        stale = sorted(gen_id for gen_id, mtime_ns in folders.items() if known.get(gen_id) != mtime_ns)
        for some in self._read_ahead(stage, stale):
            documents = [self._reader.build(stage, found, folders[found.gen_id], started_ns) for found in some]
            with self._db:
                self._remove(stage, [found.gen_id for found in some if found.gen_id in known])
                self._add(documents)
                if stage is Stage.EVALUATION:
                    self._mark_unscored(document.row["parent_gen_id"] for document in documents)
                self._bump()
            yield Refreshed(read=len(some))

    def _read_ahead(self, stage: Stage, gen_ids: list[str]) -> Iterator[list[Files]]:
        """The files of the generations, in pieces, each read while the one before it is worked on."""

        def read(some: list[str]) -> list[Files]:
            return [self._reader.read(stage, gen_id) for gen_id in some]

        names = iter(gen_ids)
        pieces = iter(lambda: list(islice(names, _GENERATIONS_AT_ONCE)), [])
        if len(gen_ids) <= _GENERATIONS_AT_ONCE:
            yield from map(read, pieces)
            return
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="search-index") as reader:
            ahead = reader.submit(read, next(pieces))
            for some in pieces:
                ready, ahead = ahead, reader.submit(read, some)
                yield ready.result()
            yield ahead.result()

    def _add(self, documents: Iterable[Document]) -> None:
        for document in documents:
            values = tuple(document.row.values())
            cursor = self._db.execute(
                f"INSERT INTO generation ({', '.join(COLUMNS)}) VALUES ({_marks(len(COLUMNS))})", values
            )
            self._db.execute(
                "INSERT INTO text (rowid, response, prompt) VALUES (?, ?, ?)",
                (cursor.lastrowid, document.response, document.prompt),
            )

    def _remove(self, stage: Stage, gen_ids: Iterable[str]) -> None:
        ids = [(gen_id,) for gen_id in gen_ids]
        if stage is Stage.EVALUATION:
            rows = (self._db.execute("SELECT parent_gen_id FROM generation WHERE gen_id = ?", key) for key in ids)
            essays = {row[0] for found in rows for row in found}
            self._mark_unscored(essays)
        self._db.executemany("DELETE FROM generation WHERE gen_id = ?", ids)

    def _mark_unscored(self, essay_gen_ids: Iterable[str]) -> None:
        """Notes essays whose evaluations changed, beside that change: whoever is ended before scoring finds them."""
        ids = {(gen_id,) for gen_id in essay_gen_ids if gen_id}
        self._db.executemany("INSERT OR IGNORE INTO unscored VALUES (?)", ids)

    def _score_essays(self) -> bool:
        """Sums up the scores of essays whose evaluations changed, by rubric; says whether there were any.

        Replicates of a judge are averaged first, then judges.
        """
        if self._db.execute("SELECT 1 FROM unscored LIMIT 1").fetchone() is None:
            return False
        with self._db:
            self._db.execute("DELETE FROM essay_score WHERE essay_gen_id IN (SELECT essay_gen_id FROM unscored)")
            self._db.execute(
                """
                INSERT INTO essay_score
                SELECT template_id, parent_gen_id, count(*), sum(n), avg(mean), min(low), max(high) FROM (
                  SELECT g.template_id, g.parent_gen_id, count(*) n, avg(g.score) mean, min(g.score) low,
                    max(g.score) high
                  FROM unscored u CROSS JOIN generation g ON g.parent_gen_id = u.essay_gen_id
                  WHERE g.score IS NOT NULL GROUP BY g.parent_gen_id, g.template_id, g.llm_model_id
                ) GROUP BY parent_gen_id, template_id
                """
            )
            self._db.execute("DELETE FROM unscored")
            self._bump()
        return True

    # Cohorts and combinations ---------------------------------------------------------------------------------------
    def _refresh_cohorts(self) -> bool:
        stamps = {cohort_id: _find_stamp(self._paths, cohort_id) for cohort_id in iter_cohort_ids(self._paths)}
        known = dict(self._db.execute("SELECT cohort_id, stamp_ns FROM cohort"))
        stale = [cohort_id for cohort_id, stamp in stamps.items() if known.get(cohort_id) != stamp]
        gone = known.keys() - stamps.keys()
        for cohort_id in [*gone, *stale]:
            with self._db:
                for table in ("cohort", "member", "axis", "progress"):
                    self._db.execute(f"DELETE FROM {table} WHERE cohort_id = ?", (cohort_id,))
                if cohort_id in stamps:
                    self._add_cohort(cohort_id, stamps[cohort_id])
                self._bump()
        return bool(stale or gone)

    def _add_cohort(self, cohort_id: str, stamp_ns: int) -> None:
        try:
            cohort = read_cohort(self._paths, cohort_id)
        except DayDreamingError as error:
            self._db.execute("INSERT INTO cohort VALUES (?, ?, '', '', ?)", (cohort_id, stamp_ns, str(error)))
            return
        built_at = str(cohort.manifest.get("created_at", ""))
        mode = next((member.mode for member in cohort.members if member.mode), "")
        self._db.execute("INSERT INTO cohort VALUES (?, ?, ?, ?, NULL)", (cohort_id, stamp_ns, built_at, mode))
        self._db.executemany(
            f"INSERT OR REPLACE INTO member VALUES ({_marks(8)})",
            (
                (
                    cohort_id,
                    member.gen_id,
                    member.stage,
                    member.parent_gen_id,
                    member.combo_id,
                    member.template_id,
                    member.llm_model_id,
                    member.replicate,
                )
                for member in cohort.members
            ),
        )
        axes = Counter(
            (member.stage, kind, name)
            for member in cohort.members
            for kind, name in (("template", member.template_id), ("model", member.llm_model_id))
        )
        self._db.executemany(
            "INSERT INTO axis VALUES (?, ?, ?, ?, ?)", ((cohort_id, *axis, count) for axis, count in axes.items())
        )
        self._add_combinations(cohort.combinations.values())

    def _refresh_combinations(self) -> bool:
        path = self._paths.combo_registry_csv
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
        if self._find_fact("combinations") == stamp:
            return False
        try:
            combinations = read_combo_registry(self._paths).values()
        except DayDreamingError:
            combinations = {}.values()
        with self._db:
            self._add_combinations(combinations)
            self._db.execute("INSERT OR REPLACE INTO fact VALUES ('combinations', ?)", (stamp,))
            self._bump()
        return True

    def _add_combinations(self, combinations: Iterable[Any]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO combination VALUES (?, ?, ?, ?)",
            (
                (combination.combo_id, concept_id, position, combination.description_level)
                for combination in combinations
                for position, concept_id in enumerate(combination.concept_ids)
            ),
        )

    def _sum_up(self) -> None:
        started = time.monotonic()
        self._score_essays()
        self._count_progress()
        # Of a large store that takes a while: most of the time belongs to reading.
        ended = time.monotonic()
        self._count_at = ended + max(_COUNT_EVERY_S, 10 * (ended - started))

    def _count_progress(self) -> None:
        with self._db:
            self._db.execute("DELETE FROM progress")
            self._db.execute(
                "INSERT INTO progress SELECT m.cohort_id, m.stage, coalesce(g.status, 'missing'), count(*), "
                "sum(g.cost_usd) FROM member m LEFT JOIN generation g USING (gen_id) GROUP BY 1, 2, 3"
            )
            self._bump()

    def _find_fact(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _bump(self) -> None:
        """Changes the revision, by which readers know that what they computed is old."""
        self._db.execute(
            "INSERT INTO fact VALUES ('revision', 1) ON CONFLICT (name) DO UPDATE SET value = fact.value + 1"
        )


REVISION = "SELECT value FROM fact WHERE name = 'revision'"
"""Asks for a number that is another one after every change."""


# Reading ------------------------------------------------------------------------------------------------------------
def open_reader(place: Path) -> sqlite3.Connection:
    """A connection to the index, for one thread at a time, that can read and nothing else."""
    with _explain(place):
        database = open_for_reading(place, follow=True)
        database.row_factory = sqlite3.Row
        database.executescript("PRAGMA query_only = ON; PRAGMA cache_size = -8192;")
    return database


def build_match(query: str, field: str = "") -> str | None:
    """A question of people in the words of FTS5: all words, "phrases" and beginnings* must be there.

    Args:
        query: what somebody typed; every sign that is neither a word nor a quote is only a separator.
        field: `response` or `prompt` searches only there.

    Returns:
        None when there is no word in it.
    """
    terms: list[str] = []
    for phrase, word, star in re.findall(r'"([^"]*)"|([^\s"*]+)(\*?)', query):
        words = re.findall(r"\w+", phrase or word)
        if words:
            terms.append('"' + " ".join(words) + '"' + (" *" if star else ""))
    if not terms:
        return None
    question = " AND ".join(terms[:20])
    return f"{{{field}}} : ({question})" if field in {"response", "prompt"} else question


def _find_stamp(paths: DataPaths, cohort_id: str) -> int:
    places = (paths.manifest(cohort_id), paths.membership(cohort_id))
    return max((path.stat().st_mtime_ns for path in places if path.is_file()), default=0)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


@contextmanager
def _explain(place: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{place} cannot be used: {error}.",
            fix=f"Delete it (it is made anew from the files): rm {shlex.quote(str(place))}*",
        ) from error
