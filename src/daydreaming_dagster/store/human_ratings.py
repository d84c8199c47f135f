"""What people said of essays: one line per rating in `8_human/ratings.jsonl`, added at the end and never changed.

Several people may rate at once, in several processes: a line is written under a lock, whole, and is on disk before the
rater hears that it was taken. A correction is another line; of one rater, essay and rubric the last line counts.
"""

from __future__ import annotations

import csv
import fcntl
import io
import math
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store import files
from daydreaming_dagster.store.paths import DataPaths

MOST_COMMENT_CHARACTERS = 2000
_RATER = re.compile(r"\w[\w .@'-]{0,59}")
_ESSAY = re.compile(rf"{Stage.ESSAY.id_prefix}[A-Za-z0-9_.-]{{1,80}}")
_TEMPLATE = re.compile(r"[\w.+@~-]{1,120}")
_SHOWN_PROBLEMS = 10
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")

Scales = Mapping[str, tuple[float, float]]
"""Ends of the scale by evaluation template."""


class Kind(StrEnum):
    """What a line says."""

    RATING = "rating"
    SKIPPED = "skipped"
    """The rater would not say; the essay is not shown to them again for this rubric."""
    WITHDRAWN = "withdrawn"
    """The rater took the last line back; the essay comes again."""


@dataclass(frozen=True, slots=True)
class HumanRating:
    """One line.

    Attributes:
        rating_id: made with the line; by it an import knows what it has already.
        rater: the name the person gave.
        score: points of the rubric's scale; None unless the kind is `rating`.
        rated_at: UTC, ISO 8601.
        seconds: how long the essay was open; None when nobody measured it.
        source: `page`, `pack` or `import`.
    """

    rating_id: str
    rater: str
    essay_gen_id: str
    evaluation_template: str
    kind: Kind
    score: float | None
    rated_at: str
    seconds: float | None = None
    comment: str = ""
    source: str = "page"


_COLUMNS = tuple(field.name for field in fields(HumanRating))
_REQUIRED = ("rater", "essay_gen_id", "evaluation_template", "score")


@dataclass(frozen=True, slots=True)
class HumanRatings:
    """All lines.

    Attributes:
        lines: in the order in which they came.
        damaged: lines that could not be read, by number from 1.
    """

    lines: list[HumanRating]
    damaged: list[int]

    def current(self) -> dict[tuple[str, str, str], HumanRating]:
        """The line that counts, by rater, essay and rubric; what was withdrawn is not there."""
        last = {(line.rater, line.essay_gen_id, line.evaluation_template): line for line in self.lines}
        return {key: line for key, line in last.items() if line.kind is not Kind.WITHDRAWN}


def clean_rater(name: str) -> str:
    """The name of a rater with single spaces.

    Raises:
        ConfigurationError: that cannot be a name.
    """
    name = " ".join(name.split())
    if not _RATER.fullmatch(name):
        raise ConfigurationError(
            f"'{name[:80]}' is not the name of a rater (letters, digits, spaces and . _ - @ ', at most 60).",
            fix="Mend it, then send it again.",
        )
    return name


def build_rating(
    rater: str,
    essay_gen_id: str,
    evaluation_template: str,
    score: float | None,
    *,
    kind: Kind = Kind.RATING,
    rated_at: str | None = None,
    rating_id: str | None = None,
    seconds: float | None = None,
    comment: str = "",
    source: str = "page",
    scales: Scales | None = None,
) -> HumanRating:
    """A line, checked.

    Raises:
        ConfigurationError: one of the values cannot be; says which.
    """
    rater = clean_rater(rater)
    for value, pattern, what in (
        (essay_gen_id, _ESSAY, "the gen_id of an essay (e_…)"),
        (evaluation_template, _TEMPLATE, "the id of a rubric"),
    ):
        if not pattern.fullmatch(value):
            raise ConfigurationError(f"'{value[:80]}' is not {what}.", fix="Mend it, then send it again.")
    if (score is None) == (kind is Kind.RATING):
        raise ConfigurationError("A rating needs a score.", fix="Choose a number on the scale.")
    if score is not None:
        low, high = (scales or {}).get(evaluation_template, (-math.inf, math.inf))
        if not (math.isfinite(score) and low <= score <= high):
            raise ConfigurationError(
                f"{score:g} is not on the scale of '{evaluation_template}', {low:g} to {high:g}.",
                fix="Choose a number on the scale.",
            )
    return HumanRating(
        rating_id=rating_id or uuid.uuid4().hex,
        rater=rater,
        essay_gen_id=essay_gen_id,
        evaluation_template=evaluation_template,
        kind=kind,
        score=score,
        rated_at=rated_at or datetime.now(UTC).isoformat(timespec="milliseconds"),
        seconds=seconds,
        comment=comment[:MOST_COMMENT_CHARACTERS],
        source=source,
    )


def append_ratings(paths: DataPaths, ratings: Iterable[HumanRating]) -> None:
    """Adds lines, whole and durable; a line that a killed process left half-written stays behind alone.

    Raises:
        StoreError: the disk refuses.
    """
    lines = list(ratings)
    if lines:
        with _hold(paths.human_ratings) as handle:
            _append(handle, lines)


@contextmanager
def _hold(path: Path) -> Iterator[int]:
    """The file, open for adding; until the block ends nobody else adds anything."""
    with files.explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)


def _append(handle: int, ratings: Iterable[HumanRating]) -> None:
    content = b"".join(orjson.dumps(asdict(rating)) + b"\n" for rating in ratings)
    size = os.fstat(handle).st_size
    if size and os.pread(handle, 1, size - 1) != b"\n":
        content = b"\n" + content
    files.write_all(handle, content)
    os.fsync(handle)


def read_ratings(paths: DataPaths) -> HumanRatings:
    """Everything people said; no file is no ratings."""
    try:
        content = paths.human_ratings.read_bytes()
    except FileNotFoundError:
        return HumanRatings([], [])
    lines: list[HumanRating] = []
    damaged: list[int] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            lines.append(_read_line(orjson.loads(line)))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            damaged.append(number)
    return HumanRatings(lines, damaged)


def dump_csv(ratings: Iterable[HumanRating]) -> str:
    """Lines as a CSV table with a header; a comment that a spreadsheet would take for a formula begins with `'`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for rating in ratings:
        cells = {name: "" if value is None else value for name, value in asdict(rating).items()}
        writer.writerow({**cells, "comment": _shield(rating.comment)})
    return text.getvalue()


def import_csv(paths: DataPaths, text: str, *, scales: Scales | None = None, source: str = "import") -> tuple[int, int]:
    """Takes in a CSV table: all of it, or nothing when something is wrong with it.

    Columns `rater`, `essay_gen_id`, `evaluation_template`, `score` are needed, the others of `dump_csv` may be there.

    Returns:
        How many lines were added, and how many were there already (by `rating_id`, else by all they say).

    Raises:
        ConfigurationError: names the lines and what is wrong with them.
    """
    found, problems = _read_csv(text, scales, source)
    if problems:
        more = f"\n… and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        raise ConfigurationError(
            "The table was not taken in:\n" + "\n".join(problems[:_SHOWN_PROBLEMS]) + more,
            fix="Mend these lines, then import the table again; what is there already is not added twice.",
        )
    if not found:
        return 0, 0
    # Under one lock, or two imports of the same table at once would each find that the other's lines are not there.
    with _hold(paths.human_ratings) as handle:
        known = read_ratings(paths).lines
        seen = {line.rating_id for line in known} | {_identity(line) for line in known}
        new: dict[object, HumanRating] = {}
        for line in found:
            if line.rating_id not in seen and _identity(line) not in seen:
                new.setdefault(_identity(line), line)
        if new:
            _append(handle, new.values())
    return len(new), len(found) - len(new)


def _shield(comment: str) -> str:
    return f"'{comment}" if comment.startswith(_FORMULA_SIGNS) else comment


def _unshield(comment: str) -> str:
    return comment[1:] if comment.startswith("'") and comment[1:].startswith(_FORMULA_SIGNS) else comment


def _identity(line: HumanRating) -> tuple[object, ...]:
    return (line.rater, line.essay_gen_id, line.evaluation_template, line.kind, line.score, line.rated_at)


def _read_csv(text: str, scales: Scales | None, source: str) -> tuple[list[HumanRating], list[str]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        header = [name.strip() for name in reader.fieldnames or []]
        if missing := [name for name in _REQUIRED if name not in header]:
            return [], [f"line 1: the column '{missing[0]}' is missing"]
        reader.fieldnames = header
        found: list[HumanRating] = []
        problems: list[str] = []
        for row in reader:
            cells = {str(name): (value or "").strip() for name, value in row.items() if isinstance(value, str | None)}
            try:
                found.append(_read_row(cells, scales, source))
            except (ConfigurationError, ValueError) as error:
                what = error.what if isinstance(error, ConfigurationError) else str(error)
                problems.append(f"line {reader.line_num}: {what}")
    except csv.Error as error:
        return [], [f"line {reader.line_num}: {error}"]
    return found, problems


def _read_row(cells: Mapping[str, str], scales: Scales | None, source: str) -> HumanRating:
    kind = Kind(cells.get("kind") or Kind.RATING)
    rated_at = cells.get("rated_at") or None
    if rated_at is not None:
        datetime.fromisoformat(rated_at)
    return build_rating(
        cells["rater"],
        cells["essay_gen_id"],
        cells["evaluation_template"],
        float(cells["score"]) if cells["score"] else None,
        kind=kind,
        # Without a time a table that is imported twice would be added twice.
        rated_at=rated_at or "1970-01-01T00:00:00.000+00:00",
        rating_id=cells.get("rating_id") or None,
        seconds=float(cells["seconds"]) if cells.get("seconds") else None,
        comment=_unshield(cells.get("comment", "")),
        source=cells.get("source") or source,
        scales=scales,
    )


def _read_line(value: dict[str, Any]) -> HumanRating:
    known = {name: value[name] for name in _COLUMNS if name in value}
    score = known.get("score")
    if score is not None and not isinstance(score, int | float):
        raise ValueError("a score is a number")
    return HumanRating(**{**known, "kind": Kind(known["kind"])})
