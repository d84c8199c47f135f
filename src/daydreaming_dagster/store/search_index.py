"""What the explorer asks: one SQLite file with a row per generation, scores per essay, and a full-text index.

It is a cache of the files like `store/index.py`, kept apart from it because runs must not pay for it: it holds titles,
cohorts and every word, and only the explorer fills it. It can be deleted at any time. `refresh` reads what changed
since last time, told by each folder's modification time. The next files are read in a thread while those before are
taken in, and scores are summed up every few seconds and not for each evaluation: a large store is mostly waiting for
the disk otherwise.

The full-text table stores no text, only where words stand. A row of it cannot be taken back without the old text, so
a generation that changes gets a new `docid`; rows whose `docid` no generation has any more are never found.
"""

from __future__ import annotations

import math
import re
import shlex
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.cache_files import open_cache, open_for_reading
from daydreaming_dagster.store.cohorts import iter_cohort_ids, read_cohort
from daydreaming_dagster.store.combinations import read_combo_registry
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore, Outcome
from daydreaming_dagster.store.index import SETTLED_NS, Summary, iter_folders, read_summary, summarize_outcome
from daydreaming_dagster.store.paths import METADATA, PARSED, PROMPT, RAW, RAW_METADATA, DataPaths

Scales = Mapping[str, tuple[float, float]]
"""Ends of the scale by evaluation template."""

MOST_INDEXED_CHARACTERS = 200_000
"""Of each text; what stands behind is shown but not found."""

_TITLE_CHARACTERS = 120
_GENERATIONS_AT_ONCE = 2000
_PARENTS_KEPT = 2048
"""Texts of drafts or essays kept while what was made from them is read: of some ten kilobytes each."""
_COUNT_EVERY_S = 5.0
"""How old scores and the counts of cohorts may get while a large store is read for the first time."""
_WORDS_HELD_BYTES = 16 << 20
_VERSION = 6
_COLUMNS = (
    "gen_id",
    "stage",
    "mtime_ns",
    "status",
    "reason",
    "code",
    "message",
    "lasting",
    "template_id",
    "llm_model_id",
    "parent_gen_id",
    "combo_id",
    "origin_cohort_id",
    "experiment_id",
    "replicate",
    "mode",
    "score",
    "cost_usd",
    "prompt_tokens",
    "completion_tokens",
    "duration_s",
    "finished_at",
    "words",
    "title",
)
_SCHEMA = f"""
CREATE TABLE generation (docid INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(_COLUMNS)});
CREATE UNIQUE INDEX generation_by_id ON generation (gen_id, status, cost_usd, template_id);
CREATE INDEX generation_by_parent ON generation (parent_gen_id, template_id, llm_model_id, score);
CREATE INDEX generation_by_combo ON generation (combo_id, stage);
CREATE INDEX generation_by_stage ON generation (stage, template_id, llm_model_id, score, status);
CREATE INDEX generation_by_status ON generation (stage, status, cost_usd, gen_id);
CREATE INDEX essay_facts ON generation (
  gen_id, template_id, llm_model_id, status, combo_id, parent_gen_id, words, finished_at
) WHERE stage = 'essay';
CREATE INDEX generation_failed ON generation (reason, stage, gen_id) WHERE status = 'failed';
CREATE VIRTUAL TABLE text USING fts5(response, prompt, content='', tokenize="unicode61 remove_diacritics 2");
CREATE TABLE essay_score (
  template_id, essay_gen_id, n_judges, n_ratings, mean, low, high, PRIMARY KEY (template_id, essay_gen_id)
) WITHOUT ROWID;
CREATE INDEX essay_score_by_essay ON essay_score (essay_gen_id);
CREATE INDEX essay_score_by_mean ON essay_score (template_id, mean DESC, n_judges DESC, essay_gen_id);
CREATE TABLE unscored (essay_gen_id PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE cohort (cohort_id PRIMARY KEY, stamp_ns, built_at, mode, problem) WITHOUT ROWID;
CREATE TABLE member (
  cohort_id, gen_id, stage, parent_gen_id, combo_id, template_id, llm_model_id, replicate,
  PRIMARY KEY (cohort_id, gen_id)
) WITHOUT ROWID;
CREATE TABLE axis (cohort_id, stage, kind, name, n, PRIMARY KEY (cohort_id, stage, kind, name)) WITHOUT ROWID;
CREATE TABLE progress (cohort_id, stage, status, n, cost_usd, PRIMARY KEY (cohort_id, stage, status)) WITHOUT ROWID;
CREATE TABLE combination (
  combo_id, concept_id, position, description_level, PRIMARY KEY (combo_id, concept_id)
) WITHOUT ROWID;
CREATE INDEX combination_by_concept ON combination (concept_id);
CREATE TABLE ranking (
  construct, essay_gen_id, rank, raw_mean, shrunken, low, high, p_top_k, k, PRIMARY KEY (construct, essay_gen_id)
) WITHOUT ROWID;
CREATE TABLE fact (name PRIMARY KEY, value) WITHOUT ROWID;
"""
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_EMPTY = GenerationMetadata(Stage.DRAFT, "", "", "", "", "", "", "", 1)


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
        self._store = store
        self._paths = store.paths
        self._place = place or store.paths.search_index
        self._scales = scales or {}
        self._count_at = time.monotonic() + _COUNT_EVERY_S
        self._parent_text = lru_cache(maxsize=_PARENTS_KEPT)(self._find_parent_text)
        with _explain(self._place):
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._db = open_cache(self._place, _prepare)

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    def refresh(self, keep_going: Callable[[Refreshed], bool] = lambda _: True) -> Refreshed:
        """Takes in what changed on disk; readers see it in pieces, each of them whole.

        Args:
            keep_going: is asked after each piece, with what was read so far; False ends the refresh early.
        """
        self._parent_text.cache_clear()
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
        folders = dict(iter_folders(self._paths, stage))
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
            documents = [self._build(stage, found, folders[found.gen_id], started_ns) for found in some]
            with self._db:
                self._remove(stage, [found.gen_id for found in some if found.gen_id in known])
                self._add(documents)
                if stage is Stage.EVALUATION:
                    self._mark_unscored(document.row["parent_gen_id"] for document in documents)
                self._bump()
            yield Refreshed(read=len(some))

    def _read_ahead(self, stage: Stage, gen_ids: list[str]) -> Iterator[list[_Files]]:
        """The files of the generations, in pieces, each read while the one before it is worked on."""

        def read(some: list[str]) -> list[_Files]:
            return [self._read(stage, gen_id) for gen_id in some]

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

    def _read(self, stage: Stage, gen_id: str) -> _Files:
        folder = f"{self._paths.stage(stage)}/{gen_id}/"
        try:
            metadata, raw_metadata = (_load_object(_find_file(folder + name)) for name in (METADATA, RAW_METADATA))
            raw, parsed, prompt = (_decode(_find_file(folder + name)) for name in (RAW, PARSED, PROMPT))
        except (OSError, ValueError):
            # Something is unusual: `read_summary` says what.
            return _Files(gen_id, None, {}, None, None, "")
        known = GenerationMetadata.of_json(metadata, stage, gen_id)
        return _Files(gen_id, known, raw_metadata, raw, parsed, self._without_parent_text(known, prompt or ""))

    def _build(self, stage: Stage, found: _Files, mtime_ns: int, started_ns: int) -> _Document:
        # A folder that was touched a moment ago may be touched again within the clock's tick: it is read once more.
        stamp = mtime_ns if mtime_ns < started_ns - SETTLED_NS else 0
        metadata = found.metadata
        if metadata is None:
            summary = read_summary(self._store, stage, found.gen_id, stamp)
            return _build_document(summary, replace(_EMPTY, stage=stage, gen_id=found.gen_id), {}, None, "", "")
        summary = summarize_outcome(Outcome(metadata, None, found.raw, found.raw_metadata, found.parsed), stamp)
        response = found.raw or found.parsed or ""
        summary = self._on_scale(summary)
        return _build_document(summary, metadata, found.raw_metadata, found.parsed, response, found.prompt)

    def _on_scale(self, summary: Summary) -> Summary:
        low, high = self._scales.get(summary.template_id, (-math.inf, math.inf))
        if summary.score is None or (math.isfinite(summary.score) and low <= summary.score <= high):
            return summary
        return replace(summary, score=None, code="score_off_scale")

    def _without_parent_text(self, metadata: GenerationMetadata, prompt: str) -> str:
        """The prompt less the text it was made around, which is found where it was written."""
        parent = metadata.stage.parent
        text = self._parent_text(parent, metadata.parent_gen_id) if parent and metadata.parent_gen_id else ""
        return prompt.replace(text, " ") if text else prompt

    def _find_parent_text(self, stage: Stage, gen_id: str) -> str:
        try:
            return (_decode(_find_file(f"{self._paths.stage(stage)}/{gen_id}/{PARSED}")) or "").strip()
        except (OSError, ValueError):
            return ""

    def _add(self, documents: Iterable[_Document]) -> None:
        for document in documents:
            values = tuple(document.row.values())
            cursor = self._db.execute(
                f"INSERT INTO generation ({', '.join(_COLUMNS)}) VALUES ({_marks(len(_COLUMNS))})", values
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


class _Files(NamedTuple):
    """What the folder of a generation holds; no metadata when something in it cannot be read.

    The prompt is without the text that it was made around.
    """

    gen_id: str
    metadata: GenerationMetadata | None
    raw_metadata: Mapping[str, Any]
    raw: str | None
    parsed: str | None
    prompt: str


@dataclass(frozen=True, slots=True)
class _Document:
    """One generation as the index takes it in: its row, and the texts whose words are found."""

    row: dict[str, Any]
    response: str
    prompt: str


def _build_document(
    summary: Summary,
    metadata: GenerationMetadata,
    raw_metadata: Mapping[str, Any],
    parsed: str | None,
    response: str,
    prompt: str,
) -> _Document:
    row = {name: getattr(summary, name, None) for name in _COLUMNS}
    row |= {name: getattr(metadata, name) for name in ("stage", "combo_id", "experiment_id", "replicate", "mode")}
    row |= {
        "lasting": int(summary.lasting),
        "finished_at": str(raw_metadata.get("finished_at") or ""),
        "words": None if parsed is None else count_words(parsed),
        "title": "" if parsed is None else find_title(parsed),
    }
    return _Document(row, response[:MOST_INDEXED_CHARACTERS], prompt[:MOST_INDEXED_CHARACTERS])


def count_words(text: str) -> int:
    """Words; where none are told apart by spaces, as in Chinese and Japanese, signs."""
    spaced, signs = (text, 0) if text.isascii() else _UNSPACED.subn(" ", text)
    return len(spaced.split()) + signs


def find_title(text: str) -> str:
    """The first heading or line of a text without its marks, shortened; empty for an empty text."""
    for line in text[:4000].splitlines():
        if title := " ".join(re.sub(r"[*`]+", "", line).strip(" \t#_=-<>").split()):
            return title if len(title) <= _TITLE_CHARACTERS else title[: _TITLE_CHARACTERS - 1].rstrip() + "…"
    return ""


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


def _find_file(path: str) -> bytes | None:
    try:
        return files.read_quickly(path)
    except FileNotFoundError:
        return None


def _load_object(content: bytes | None) -> dict[str, Any]:
    value = {} if content is None else orjson.loads(content)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _decode(content: bytes | None) -> str | None:
    return None if content is None else content.decode()


def _find_stamp(paths: DataPaths, cohort_id: str) -> int:
    places = (paths.manifest(cohort_id), paths.membership(cohort_id))
    return max((path.stat().st_mtime_ns for path in places if path.is_file()), default=0)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _prepare(database: sqlite3.Connection) -> bool:
    """Whether the database is of this version, or was empty and now is."""
    database.execute("PRAGMA cache_size=-65536")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        # Words wait in memory for so many bytes before they are sorted in: fewer pieces to merge later.
        hold = f"INSERT INTO text (text, rank) VALUES ('hashsize', {_WORDS_HELD_BYTES});"
        database.executescript(f"BEGIN; {_SCHEMA} {hold} PRAGMA user_version = {_VERSION}; COMMIT;")
        return True
    return bool(version == _VERSION)


@contextmanager
def _explain(place: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{place} cannot be used: {error}.",
            fix=f"Delete it (it is made anew from the files): rm {shlex.quote(str(place))}*",
        ) from error
