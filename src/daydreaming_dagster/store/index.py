"""The index: one row per stored generation in a SQLite file, so that nothing has to read a hundred thousand folders.

It is a cache of the files and nothing else: it can be deleted at any time. A row counts only as long as the folder's
modification time is the one it was made at, which changes whenever a file in it is made, replaced or removed; so what
was done by hand or by an older version is found without anybody telling. Only a file rewritten in place keeps that
time: `find_index_errors` compares every row with the files and finds those, too.
"""

from __future__ import annotations

import math
import os
import shlex
import sqlite3
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import orjson

from daydreaming_dagster.domain.errors import StoreError
from daydreaming_dagster.domain.scores import ScoreRefused, read_parsed_number
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.cache_files import can_write, open_cache, open_copy_in_memory
from daydreaming_dagster.store.files import explain_os_errors
from daydreaming_dagster.store.generation_files import FoundFiles, find_mtime_ns, read_folder
from daydreaming_dagster.store.generations import GenerationMetadata, GenerationStore, Outcome
from daydreaming_dagster.store.paths import METADATA, PARSED, RAW, RAW_METADATA, VERSIONS, DataPaths
from daydreaming_dagster.store.reading_processes import read_folders
from daydreaming_dagster.store.states import (
    DONE_STATE,
    MISSING_STATE,
    Failure,
    GenerationState,
    Status,
    state_of_metadata,
)
from daydreaming_dagster.utils.json_values import as_float, as_int, as_text

SETTLED_NS = 50_000_000
"""A folder must have been left alone for so long before its time is trusted: clocks of file systems tick slowly."""


class Summary(NamedTuple):
    """What the index knows of one generation; None where the files do not say.

    Attributes:
        mtime_ns: of the folder when this was true.
        reason: of the failure; `store` also of what is done although its metadata cannot be read.
        code: finer code of the failure; of an evaluation that is done and has no score, why (`score_no_number`, …).
        request_sha256: of the request that the stored response answers.
        score: the number in an evaluation's parsed text, whatever its template's scale.
        parsed_mtime_ns: of an evaluation's parsed text, so that readers of scores can see that it was edited in place.
        has_versions: earlier responses are kept.
        template_sha256: of the template's text as it was sent.
        prompt_sha256: of the prompt; only of an evaluation that does not say with which text of its template.
    """

    gen_id: str
    mtime_ns: int
    status: str
    reason: str = ""
    code: str = ""
    message: str = ""
    lasting: bool = True
    has_text: bool = False
    template_id: str = ""
    llm_model_id: str = ""
    parent_gen_id: str = ""
    origin_cohort_id: str = ""
    attempts: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    duration_s: float | None = None
    request_sha256: str | None = None
    score: float | None = None
    parsed_mtime_ns: int | None = None
    combo_id: str = ""
    replicate: int = 1
    experiment_id: str | None = None
    input_mode: str | None = None
    copied_from: str | None = None
    provider: str | None = None
    model_answered: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    has_versions: bool = False
    template_sha256: str | None = None
    prompt_sha256: str | None = None

    @property
    def state(self) -> GenerationState:
        """Its status, as `read_state` would give it."""
        status = Status(self.status)
        failure = None
        if status is Status.FAILED:
            failure = Failure(self.reason, self.message, self.code, bool(self.lasting))
        return GenerationState(status, failure, bool(self.has_text))


@dataclass(frozen=True, slots=True)
class History:
    """What the answers of one model to one template were like.

    Attributes:
        answers: how many there are.
        usable: how many of them could be parsed.
        cost_usd: mean; None when nobody knows.
        prompt_tokens, completion_tokens, duration_s: mean and standard deviation.
    """

    answers: int
    usable: int
    cost_usd: float | None
    prompt_tokens: tuple[float, float]
    completion_tokens: tuple[float, float]
    duration_s: tuple[float, float]


_MEASURED = ("prompt_tokens", "completion_tokens", "duration_s")
_COLUMNS = Summary._fields
_STATE_COLUMNS = _COLUMNS[: _COLUMNS.index("has_text") + 1]
_IS_DONE = "status = 'done' AND has_text"
_TYPES = dict.fromkeys(("mtime_ns", "lasting", "has_text", "parsed_mtime_ns", "replicate", "has_versions"), "INTEGER")
_VERSION = 3
_MANY_FOLDERS = 2000
_READ, _LOOKED_FOR = (METADATA, RAW_METADATA, PARSED), (RAW, VERSIONS)


class Index:
    """A connection to the index; each thread opens its own.

    Args:
        store: the generations.
        read_only: leave no trace: what has changed is read, but not remembered. So it is anyway where nothing can be
            written.
    """

    def __init__(self, store: GenerationStore, *, read_only: bool = False) -> None:
        self._store = store
        self._paths = store.paths
        read_only = read_only or not can_write(self._paths.index)
        self._settling_ns = 0 if read_only else SETTLED_NS  # what is not kept cannot mislead anybody later
        with _explain(self._paths):
            if read_only:
                self._db = open_copy_in_memory(self._paths.index)
                _prepare(self._db)
                return
            self._paths.index.parent.mkdir(parents=True, exist_ok=True)
            self._db = open_cache(self._paths.index, _prepare)

    def close(self) -> None:
        """Closes the connection."""
        self._db.close()

    def refresh(self, stage: Stage) -> Mapping[str, Summary]:
        """Summaries of all stored generations of a stage by gen_id; what changed since last time is read anew."""
        known, fresh = self._read(stage, _COLUMNS)
        return {**{name: Summary._make(row) for name, row in known.items()}, **fresh}

    def columns(self, stage: Stage, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Some fields of `Summary`, at least two, of all stored generations of a stage, in no order; cheaper than all.

        Flags are 0 and 1.
        """
        known, fresh = self._read(stage, ("gen_id", "mtime_ns", *names))
        return [*(row[2:] for row in known.values()), *map(attrgetter(*names), fresh.values())]

    def states(self, stage: Stage) -> Callable[[str], GenerationState]:
        """How far each generation of a stage has come, as of now."""
        # Of what is done, nearly all there is, nothing but its time is needed. What another process moves from one
        # question to the other meanwhile is in both, where the second holds, or in none, and is then read anew.
        times: dict[str, int] = dict(self._query(f"SELECT gen_id, mtime_ns FROM {stage} WHERE {_IS_DONE}"))
        rest = self._query(f"SELECT {', '.join(_STATE_COLUMNS)} FROM {stage} WHERE NOT ({_IS_DONE})")
        others = {row[0]: Summary(*row) for row in rest}
        times |= {name: summary.mtime_ns for name, summary in others.items()}
        others |= self._bring_up_to_date(stage, times)
        states = dict.fromkeys(times, DONE_STATE)
        states |= {name: summary.state for name, summary in others.items() if name in times}
        return lambda gen_id: states.get(gen_id, MISSING_STATE)

    def _read(self, stage: Stage, columns: Sequence[str]) -> tuple[dict[str, tuple[Any, ...]], dict[str, Summary]]:
        """Rows that still hold, as the index has them, and summaries of what had to be read anew."""
        rows = {row[0]: row for row in self._query(f"SELECT {', '.join(columns)} FROM {stage}")}
        times = {name: row[1] for name, row in rows.items()}
        fresh = self._bring_up_to_date(stage, times)
        return {name: rows[name] for name in times if name not in fresh}, fresh

    def _bring_up_to_date(self, stage: Stage, times: dict[str, int]) -> dict[str, Summary]:
        """Summaries of the generations that are not as the index knew them; they are in it from now on.

        Args:
            stage: of the generations.
            times: `mtime_ns` of the index's rows by gen_id; brought up to date as well.
        """
        folders = read_folder_times(self._paths, stage, times)
        gone = times.keys() - folders.keys()
        changed = [name for name, mtime_ns in folders.items() if times.get(name) != mtime_ns]
        if not changed and not gone:
            return {}
        started_ns = time.time_ns()
        fresh = {summary.gen_id: summary for summary in self._read_summaries(stage, changed)}
        # What cannot be read is looked at each time: mending it in place leaves the folder's time as it is.
        settled = [
            summary
            for summary in fresh.values()
            if summary.mtime_ns < started_ns - self._settling_ns and summary.reason != StoreError.reason
        ]
        self._write(stage, settled, gone)
        for name in gone:
            del times[name]
        times |= {name: summary.mtime_ns for name, summary in fresh.items()}
        return fresh

    def _read_summaries(self, stage: Stage, names: list[str]) -> Iterator[Summary]:
        """Of many folders several at once, and in the order of the disk, which may not have seen them for long."""
        if len(names) < _MANY_FOLDERS:
            yield from (read_summary(self._store, stage, name) for name in names)
            return
        parent = str(self._paths.stage(stage))
        with os.scandir(parent) as entries:
            places = {entry.name: entry.inode() for entry in entries}
        names = sorted(names, key=lambda name: places.get(name, 0))
        for name, found in zip(names, read_folders(parent, names, _READ, _LOOKED_FOR), strict=True):
            yield _summarize_files(self._store, stage, name, found)

    def read_history(self, stage: Stage) -> dict[tuple[str, str], History]:
        """What answers were like, by template and model; as of the last refresh."""
        rows = self._query(
            "SELECT template_id, llm_model_id, COUNT(*), SUM(status = 'done'), AVG(cost_usd), "
            + ", ".join(f"AVG({name}), AVG({name} * {name})" for name in _MEASURED)
            + f" FROM {stage} WHERE has_text AND completion_tokens IS NOT NULL GROUP BY 1, 2"
        )
        return {
            (template_id, model_id): History(answers, usable, cost, *map(_mean_and_sd, moments[::2], moments[1::2]))
            for template_id, model_id, answers, usable, cost, *moments in rows
        }

    def add(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Takes in outcomes whose files were just written.

        Returns:
            Those written so recently that their folders' times cannot be trusted yet; hand them in again later.
        """
        rows: dict[Stage, list[Summary]] = {stage: [] for stage in Stage}
        too_recent: list[Outcome] = []
        trusted_ns = time.time_ns() - SETTLED_NS
        places = {stage: str(self._paths.stage(stage)) for stage in Stage}
        for outcome in outcomes:
            stage = outcome.metadata.stage
            folder = f"{places[stage]}/{outcome.metadata.gen_id}"
            if (mtime_ns := find_mtime_ns(folder)) is None:
                continue
            if mtime_ns >= trusted_ns:
                too_recent.append(outcome)
            elif _says_all(outcome):
                facts = _find_file_facts(folder, stage)
                rows[stage].append(summarize_outcome(outcome, mtime_ns, facts))
        for stage, summaries in rows.items():
            if summaries:
                self._write(stage, summaries, ())
        return too_recent

    def _query(self, question: str) -> Iterator[tuple[Any, ...]]:
        with _explain(self._paths):
            yield from self._db.execute(question)

    def _write(self, stage: Stage, summaries: Sequence[Summary], gone: Iterable[str]) -> None:
        marks = ", ".join("?" * len(_COLUMNS))
        # In the key's order many are added twice as fast, and plain tuples are taken in nearly twice as fast as named.
        rows = map(tuple, sorted(summaries, key=itemgetter(0)))
        with _explain(self._paths), self._db:
            self._db.executemany(f"INSERT OR REPLACE INTO {stage} VALUES ({marks})", rows)
            self._db.executemany(f"DELETE FROM {stage} WHERE gen_id = ?", [(name,) for name in gone])


def read_summary(store: GenerationStore, stage: Stage, gen_id: str) -> Summary:
    """The summary that the files give. Damaged files are a failed generation, not an exception."""
    found = read_folder(f"{store.paths.stage(stage)}/{gen_id}", _READ, _LOOKED_FOR)
    return _summarize_files(store, stage, gen_id, found)


def _summarize_files(store: GenerationStore, stage: Stage, gen_id: str, found: FoundFiles) -> Summary:
    mtime_ns, (asked, came, read), (has_text, has_versions), parsed_mtime_ns = found
    damage: StoreError | None = None
    try:
        # What is done and in order, nearly always all there is, is understood without a detour.
        metadata = GenerationMetadata.of_json(_parse_object(asked), stage, gen_id)
        raw: Mapping[str, Any] = _parse_object(came)
        parsed: str | None = _require(read).decode()
    except ValueError:
        metadata, raw, parsed, damage = _read_carefully(store, stage, gen_id)
    facts = FileFacts(has_versions, parsed_mtime_ns if stage is Stage.EVALUATION else None)
    summary = _summarize(metadata, raw, parsed, has_text, mtime_ns or 0, facts)
    if damage is None or parsed is None:
        return summary
    return summary._replace(reason=damage.reason, message=damage.what)


def _read_carefully(
    store: GenerationStore, stage: Stage, gen_id: str
) -> tuple[GenerationMetadata, Mapping[str, Any], str | None, StoreError | None]:
    """What can be read, and what is wrong with the rest. As with `read_state`, a text that can be read is done."""
    metadata, raw, parsed = GenerationMetadata.of_json({}, stage, gen_id), None, None
    damage = None
    try:
        metadata = store.find_metadata(stage, gen_id) or metadata
    except StoreError as error:
        damage = error
    try:
        parsed = store.find_parsed(stage, gen_id)
        raw = store.find_raw_metadata(stage, gen_id)
    except StoreError as error:
        damage = error
        if parsed is None:
            raw = {"failure": Failure.of_unreadable(error).to_json()}
    return metadata, raw or {}, parsed, damage


def _parse_object(content: bytes | None) -> dict[str, Any]:
    value = orjson.loads(_require(content))
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _require(content: bytes | None) -> bytes:
    if content is None:
        raise ValueError("no such file")
    return content


def summarize_outcome(outcome: Outcome, mtime_ns: int, facts: FileFacts | None = None) -> Summary:
    """The summary of what an attempt left, without reading the files again."""
    has_text = outcome.text is not None
    return _summarize(
        outcome.metadata, outcome.raw_metadata, outcome.parsed, has_text, mtime_ns, facts or FileFacts(False, None)
    )


def find_index_errors(store: GenerationStore) -> list[str]:
    """Rows of the index that say something else than the files, as sentences; empty when all is well.

    Reads every file of every indexed generation.
    """
    problems: list[str] = []
    index = Index(store)
    try:
        for stage in Stage:
            for gen_id, row in index.refresh(stage).items():
                found = read_summary(store, stage, gen_id)._replace(mtime_ns=row.mtime_ns)
                differing = [name for name in _COLUMNS if getattr(found, name) != getattr(row, name)]
                if differing:
                    problems.append(
                        f"{stage} {gen_id}: the index says {differing[0]} = {getattr(row, differing[0])!r}, the files "
                        f"say {getattr(found, differing[0])!r}"
                    )
    finally:
        index.close()
    return problems


def _says_all(outcome: Outcome) -> bool:
    """Whether files that only the disk knows (an earlier response, its parsed text) cannot change the summary."""
    return outcome.parsed is not None or (outcome.text is not None and outcome.raw_metadata.get("failure") is not None)


class FileFacts(NamedTuple):
    """What only the disk knows; see `Summary`."""

    has_versions: bool
    parsed_mtime_ns: int | None


def _find_file_facts(folder: str, stage: Stage) -> FileFacts:
    has_versions = os.path.exists(f"{folder}/{VERSIONS}")  # noqa: PTH110 - once per generation of a whole store
    return FileFacts(has_versions, find_mtime_ns(f"{folder}/{PARSED}") if stage is Stage.EVALUATION else None)


def _summarize(
    metadata: GenerationMetadata,
    raw: Mapping[str, Any],
    parsed: str | None,
    has_text: bool,
    mtime_ns: int,
    facts: FileFacts,
) -> Summary:
    state = GenerationState(Status.DONE) if parsed is not None else state_of_metadata(dict(raw), has_text=has_text)
    usage = raw.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    score, code = (None, "") if metadata.stage is not Stage.EVALUATION or parsed is None else _find_score(parsed)
    template_sha256 = as_text(raw.get("template_sha256"))
    is_vague = metadata.stage is Stage.EVALUATION and template_sha256 is None
    summary = Summary(
        gen_id=metadata.gen_id,
        mtime_ns=mtime_ns,
        status=state.status,
        code=code,
        has_text=has_text,
        template_id=metadata.template_id,
        llm_model_id=metadata.llm_model_id,
        parent_gen_id=metadata.parent_gen_id,
        origin_cohort_id=metadata.origin_cohort_id,
        attempts=as_int(raw.get("attempts")),
        prompt_tokens=as_int(usage.get("prompt_tokens")),
        completion_tokens=as_int(usage.get("completion_tokens")),
        cost_usd=as_float(raw.get("cost_usd")),
        duration_s=as_float(raw.get("duration_s")),
        request_sha256=as_text(raw.get("request_sha256")),
        score=score,
        parsed_mtime_ns=facts.parsed_mtime_ns,
        has_versions=facts.has_versions,
        combo_id=metadata.combo_id,
        replicate=metadata.replicate,
        experiment_id=metadata.experiment_id,
        input_mode=as_text(raw.get("input_mode")),
        copied_from=as_text(raw.get("copied_from")),
        provider=as_text(raw.get("provider")),
        model_answered=as_text(raw.get("model_answered")),
        started_at=as_text(raw.get("started_at")),
        finished_at=as_text(raw.get("finished_at")),
        template_sha256=template_sha256,
        prompt_sha256=as_text(raw.get("prompt_sha256")) if is_vague else None,
    )
    if (failure := state.failure) is None:
        return summary
    return summary._replace(reason=failure.reason, code=failure.code, message=failure.message, lasting=failure.lasting)


def read_folder_times(paths: DataPaths, stage: Stage, dated: Container[str] | None = None) -> dict[str, int]:
    """The modification time of each folder of a stage's generations, ns, by name.

    The time of one that cannot be looked at, or is not asked for, is 0.

    Args:
        paths: where the stage's folder is.
        stage: of the generations.
        dated: names whose time is asked for, which takes the system a while to find; None asks for all.

    Raises:
        StoreError: the stage's folder cannot be listed.
    """
    folder = paths.stage(stage)
    times: dict[str, int] = {}
    with explain_os_errors(folder):
        try:
            opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return times
        try:
            # By an open folder the system need not walk the whole path again for each of a hundred thousand names.
            with os.scandir(opened) as entries:
                for entry in entries:
                    try:
                        if entry.name[0] != "." and entry.is_dir():
                            is_dated = dated is None or entry.name in dated
                            times[entry.name] = entry.stat().st_mtime_ns if is_dated else 0
                    except FileNotFoundError:
                        continue  # removed just now
                    except OSError:
                        times[entry.name] = 0  # something is there that cannot be read: not the same as nothing
        finally:
            os.close(opened)
    return times


def _find_score(parsed: str) -> tuple[float | None, str]:
    """The number, or none and why."""
    try:
        return read_parsed_number(parsed), ""
    except ScoreRefused as refused:
        return None, f"score_{refused.code}"


def _mean_and_sd(mean: float | None, mean_of_squares: float | None) -> tuple[float, float]:
    if mean is None or mean_of_squares is None:
        return 0.0, 0.0
    return mean, math.sqrt(max(0.0, mean_of_squares - mean**2))


def _prepare(database: sqlite3.Connection) -> bool:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    columns = ", ".join(f"{name} {_TYPES.get(name, '')}" for name in _COLUMNS[1:])
    for stage in Stage:
        if version != _VERSION:
            database.execute(f"DROP TABLE IF EXISTS {stage}")
        database.execute(f"CREATE TABLE IF NOT EXISTS {stage} (gen_id TEXT PRIMARY KEY, {columns}) WITHOUT ROWID")
    database.execute(f"PRAGMA user_version = {_VERSION}")
    database.commit()
    return True


@contextmanager
def _explain(paths: DataPaths) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{paths.index} cannot be used: {error}.",
            fix=f"Delete it (it is made anew from the files): rm {shlex.quote(str(paths.index))}*",
        ) from error
