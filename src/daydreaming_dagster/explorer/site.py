"""One data root, open for reading: what all pages share, and the thread that keeps the index up to date."""

from __future__ import annotations

import hmac
import os
import secrets
import shlex
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from daydreaming_dagster.domain.catalogue import Catalogue, Template
from daydreaming_dagster.domain.errors import DayDreamingError, StoreError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.explorer.ranking_table import find_ranking, read_ranking_rows
from daydreaming_dagster.store.cache_files import can_write, copy_to_folder
from daydreaming_dagster.store.generations import GenerationStore
from daydreaming_dagster.store.owners import is_alive, iter_owner_ids
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.raw_inputs import read_catalogue
from daydreaming_dagster.store.search_index import REVISION, Refreshed, SearchIndex, open_reader

_Value = TypeVar("_Value")
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 1.5, 30.0
_CATALOGUE_S = 1.0
"""For so long the input files are taken to be as they were: a page asks for names hundreds of times."""
_MOST_KEPT_ANSWERS = 512
_MOST_SENTENCES = 200
_STILL_MOVING_S = 20.0
"""For so long after a change another is awaited: the last answers of a run are found after its end."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How well the index knows the store.

    Attributes:
        is_building: it reads a store that it did not know yet.
        read: generations taken in by the refresh that is going on.
        problem: why the last refresh failed; empty when it did not.
    """

    is_building: bool = True
    read: int = 0
    problem: str = ""


class Site:
    """The data root as the pages see it."""

    def __init__(
        self,
        paths: DataPaths,
        environ: Mapping[str, str] | None = None,
        dagster_url: str = "",
        show_command: Callable[[str], str] = "daydreaming {}".format,
    ) -> None:
        """Opens the data root.

        Args:
            paths: its places.
            environ: where the keys of endpoints are; None is the process's own.
            dagster_url: where Dagster's pages are; empty for no links to them.
            show_command: the words of a command as they are typed for this data root.
        """
        self.paths = paths
        self._show_command = show_command
        self.store = GenerationStore(paths)
        self.dagster_url = dagster_url.rstrip("/")
        self.write_token = secrets.token_urlsafe(24)
        self.freshness = Freshness()
        self._environ = os.environ if environ is None else environ
        self._idle: deque[sqlite3.Connection] = deque()
        self._answers: dict[tuple[Any, ...], tuple[int, Any]] = {}
        self._catalogue: tuple[int, Catalogue | None, str] = (-1, None, "")
        self._catalogue_until = 0.0
        self._keys: list[str] = []
        self._ranking_stamp = -1
        self._moving_until = 0.0
        self._said: dict[str, str] = {}
        self._lock = threading.Lock()
        self._elsewhere = None if can_write(paths.search_index) else TemporaryDirectory(prefix="daydreaming-")
        self._index = paths.search_index
        if self._elsewhere is not None:
            self._index = copy_to_folder(paths.search_index, Path(self._elsewhere.name))
        self._open_index().close()  # so that there is something to read from the first request on

    # Reading ------------------------------------------------------------------------------------------------------
    def rows(self, question: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """All rows of an answer of the index."""
        try:
            database = self._idle.pop()
        except IndexError:
            database = open_reader(self._index)
        try:
            found = database.execute(question, values).fetchall()
        except BaseException:
            database.close()
            raise
        self._idle.append(database)
        return found

    def row(self, question: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> sqlite3.Row | None:
        """The first row of an answer, or None."""
        found = self.rows(question, values)
        return found[0] if found else None

    def close(self) -> None:
        """Closes the connections that nobody uses, and removes an index that was kept elsewhere."""
        while self._idle:
            self._idle.pop().close()
        if self._elsewhere is not None:
            self._elsewhere.cleanup()

    @property
    def revision(self) -> int:
        """Another number after every change of the index."""
        row = self.row(REVISION)
        return int(row[0]) if row else 0

    def keep(self, key: tuple[Any, ...], compute: Callable[[], _Value]) -> _Value:
        """What `compute` gives, computed once for as long as the index does not change."""
        revision = self.revision
        with self._lock:
            kept = self._answers.get(key)
        if kept is not None and kept[0] == revision:
            value: _Value = kept[1]
            return value
        value = compute()
        with self._lock:
            if len(self._answers) >= _MOST_KEPT_ANSWERS:
                self._answers.clear()
            self._answers[key] = (revision, value)
        return value

    @property
    def can_keep_ratings(self) -> bool:
        """Whether what people say can be written down here."""
        return can_write(self.paths.human_ratings)

    @property
    def is_running(self) -> bool:
        """Whether a run is working on the data root right now."""
        return any(is_alive(self.paths, owner) for owner in iter_owner_ids(self.paths))

    @property
    def is_moving(self) -> bool:
        """Whether pages that show progress will soon be out of date."""
        return time.monotonic() < self._moving_until or self.is_running

    @property
    def moment(self) -> str:
        """Another text whenever a page that shows progress would look different."""
        return f"{self.revision}-{self.is_running:d}-{self.is_moving:d}"

    # Inputs -------------------------------------------------------------------------------------------------------
    @property
    def catalogue(self) -> Catalogue | None:
        """The input files; None while they cannot be read (the pages then show ids instead of names)."""
        return self._read_catalogue()[0]

    @property
    def catalogue_problem(self) -> str:
        """Why the input files cannot be read; empty when they can."""
        return self._read_catalogue()[1]

    def _read_catalogue(self) -> tuple[Catalogue | None, str]:
        now = time.monotonic()
        if now < self._catalogue_until:
            return self._catalogue[1:]
        stamp = _compute_stamp(self.paths)
        if self._catalogue[0] != stamp:
            try:
                self._catalogue = (stamp, read_catalogue(self.paths), "")
            except DayDreamingError as error:
                self._catalogue = (stamp, None, str(error))
            self._keys = self._find_keys(self._catalogue[1])
        self._catalogue_until = now + _CATALOGUE_S
        return self._catalogue[1:]

    def rubrics(self) -> list[Template]:
        """Evaluation templates of the catalogue, in the order of the file."""
        return [] if self.catalogue is None else list(self.catalogue.templates[Stage.EVALUATION].values())

    def find_rubric(self, template_id: str) -> Template | None:
        """The evaluation template of that id; None when the catalogue has none."""
        return None if self.catalogue is None else self.catalogue.templates[Stage.EVALUATION].get(template_id)

    def concept_name(self, concept_id: str) -> str:
        """Name of a concept, its id where it has none any more."""
        concept = self.catalogue.concepts.get(concept_id) if self.catalogue else None
        return concept.name if concept else concept_id

    def rubric_name(self, template_id: str) -> str:
        """Name of an evaluation template, its id where it has none any more."""
        rubric = self.find_rubric(template_id)
        return rubric.template_name if rubric else template_id

    def scale(self, template_id: str) -> tuple[float, float]:
        """Ends of the scale of an evaluation template, 0 to 9 where the catalogue has none any more."""
        rubric = self.find_rubric(template_id)
        return (rubric.scale_min, rubric.scale_max) if rubric else (0.0, 9.0)

    def command(self, *words: str, cohort_id: str = "") -> str:
        """A command as it can be typed, for one cohort or for the one that is set.

        Words may come from a store that somebody else made: they are quoted for a shell.
        """
        cohort = f"DD_COHORT={shlex.quote(cohort_id)} " if cohort_id else ""
        return cohort + self._show_command(shlex.join(words))

    # Secrets ------------------------------------------------------------------------------------------------------
    def redact(self, text: str) -> str:
        """The text without the key of any endpoint, should one ever have got into a file."""
        self._read_catalogue()
        for key in self._keys:
            text = text.replace(key, "[key]")
        return text

    def _find_keys(self, catalogue: Catalogue | None) -> list[str]:
        endpoints = catalogue.endpoints.values() if catalogue else ()
        names = {endpoint.api_key_env for endpoint in endpoints if endpoint.api_key_env} | {"OPENROUTER_API_KEY"}
        return [key for name in names if len(key := self._environ.get(name, "").strip()) >= 8]

    def say(self, text: str) -> str:
        """Keeps a sentence for the page that follows, whose address holds only a key: nobody can make one up."""
        key = secrets.token_urlsafe(9)
        with self._lock:
            while len(self._said) >= _MOST_SENTENCES:
                self._said.pop(next(iter(self._said)))
            self._said[key] = text
        return key

    def find_said(self, key: str) -> str:
        """The sentence kept under a key, empty when there is none."""
        return self._said.get(key, "")

    def is_write_token(self, given: str) -> bool:
        """Whether a form carries the token that only our own pages hold."""
        return hmac.compare_digest(given.encode(), self.write_token.encode())

    # The index ----------------------------------------------------------------------------------------------------
    def refresh(self, keep_going: Callable[[], bool] = lambda: True) -> Refreshed:
        """Takes in what changed on disk; one thread at a time."""

        def report(found: Refreshed) -> bool:
            self.freshness = Freshness(self.freshness.is_building, found.read)
            return keep_going()

        self._catalogue_until = 0.0
        index = self._open_index()
        try:
            found = index.refresh(report)
            self._refresh_ranking(index)
            if found.changed:
                self._moving_until = time.monotonic() + _STILL_MOVING_S
            self.freshness = Freshness(is_building=False)
            return found
        except StoreError as error:
            self.freshness = Freshness(is_building=False, problem=str(error))
            return Refreshed()
        finally:
            index.close()

    def _open_index(self) -> SearchIndex:
        scales = {rubric.template_id: (rubric.scale_min, rubric.scale_max) for rubric in self.rubrics()}
        return SearchIndex(self.store, scales, self._index)

    def _refresh_ranking(self, index: SearchIndex) -> None:
        path = find_ranking(self.paths)
        stamp = path.stat().st_mtime_ns if path else 0
        if stamp != self._ranking_stamp:
            index.replace_ranking(read_ranking_rows(path) if path else [])
            self._ranking_stamp = stamp


class Refresher:
    """A thread that refreshes a site: often while something happens, seldom while nothing does."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="explorer-index", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the piece it is at."""
        self._stop.set()
        self._thread.join(timeout=30)

    def _work(self) -> None:
        pause_s = _SHORTEST_PAUSE_S
        while not self._stop.is_set():
            started = time.monotonic()
            found = self._site.refresh(lambda: not self._stop.is_set())
            took_s = time.monotonic() - started
            # A large store takes seconds to look through: most of the time belongs to others.
            quiet = not found.changed and not self._site.is_running
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S) if quiet else _SHORTEST_PAUSE_S
            self._wait(max(pause_s, 4 * took_s))

    def _wait(self, seconds: float) -> None:
        """Waits, but no longer than until somebody adds something."""
        before = _compute_trace(self._site.paths)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop.wait(_SHORTEST_PAUSE_S):
            if _compute_trace(self._site.paths) != before:
                return


def _compute_stamp(paths: DataPaths) -> int:
    """Changes when an input table does."""
    tables = [paths.concepts_csv, paths.models_csv, paths.endpoints_csv, *map(paths.templates_csv, Stage)]
    return hash(tuple(_mtime(path) for path in tables))


def _compute_trace(paths: DataPaths) -> int:
    """Changes when a generation or a cohort is added or removed; cheap, and blind to changes inside of one."""
    return hash(tuple(_mtime(path) for path in (*map(paths.stage, Stage), paths.cohorts, paths.summary)))


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
