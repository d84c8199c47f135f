"""CSV files that people edit, read so that every problem is found and named with its file, line, column and value.

A reader never stops at the first problem: it notes it in an `InputLog` and goes on with a stand-in value. Whoever owns
the log raises at the end, so a value taken from a table is only to be trusted when the log is empty.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson

from daydreaming_dagster.domain.errors import InputProblem
from daydreaming_dagster.utils.wording import suggest

_YES, _NO = frozenset({"true", "1", "yes"}), frozenset({"false", "0", "no"})
_FLAG_ALLOWED = "True, False, 1, 0, yes, no"
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_ID = re.compile(r"\w[\w.+:@~-]*")
_ID_ALLOWED = "letters, digits and . _ - + : @ ~ (they become file names and table columns)"
_COMMAS = "commas (in a spreadsheet, save as CSV UTF-8 with commas between the fields)"
_LONGEST_SHOWN = 80


@dataclass(slots=True)
class InputLog:
    """The problems found so far, in the order of the files."""

    problems: list[InputProblem] = field(default_factory=list)

    def add(
        self,
        path: Path,
        message: str,
        *,
        line: int | None = None,
        column: str | None = None,
        value: str | None = None,
        allowed: str | None = None,
    ) -> None:
        """Notes one problem."""
        if value is not None and len(value) > _LONGEST_SHOWN:
            value = value[:_LONGEST_SHOWN] + "…"
        self.problems.append(InputProblem(show_path(path), message, line, column, value, allowed))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; cells are trimmed, a cell that is not there is blank."""

    path: Path
    line: int
    cells: Mapping[str, str]
    log: InputLog

    def refuse(self, column: str, message: str, *, allowed: str | None = None, show: bool = True) -> None:
        """Notes that a cell is not acceptable; `show=False` keeps its value out of the message."""
        value = self.cells.get(column, "") if show else None
        self.log.add(self.path, message, line=self.line, column=column, value=value, allowed=allowed)

    def text(self, column: str, default: str = "") -> str:
        """The cell, or the default when it is blank."""
        return self.cells.get(column, "") or default

    def require_text(self, column: str) -> str:
        """The cell, which must not be blank."""
        text = self.text(column)
        if not text:
            self.refuse(column, "the cell is blank, but it is required")
        return text

    def require_id(self, column: str) -> str:
        """The cell, which must be usable as an id: it becomes part of file names and column names."""
        text = self.require_text(column)
        if text and not _ID.fullmatch(text):
            self.refuse(column, "this cannot be an id", allowed=_ID_ALLOWED)
        return text

    def flag(self, column: str) -> bool:
        """A clear yes or no."""
        text = self.text(column).lower()
        if text not in _YES and text not in _NO:
            self.refuse(column, "this is not a clear yes or no", allowed=_FLAG_ALLOWED)
        return text in _YES

    def choice(self, column: str, allowed: Collection[str], default: str, *, what: str = "unknown value") -> str:
        """One of a few words, in any case; the default when the cell is blank."""
        text = self.text(column, default)
        by_lower = {name.lower(): name for name in allowed}
        if text.lower() not in by_lower:
            self.refuse(column, f"{what}{suggest(text, allowed)}", allowed=", ".join(allowed))
            return default
        return by_lower[text.lower()]

    def whole(self, column: str, *, minimum: int) -> int | None:
        """A whole number of at least `minimum`; None when the cell is blank."""
        text = self.text(column)
        if not text:
            return None
        if not _WHOLE.fullmatch(text) or int(text.split(".")[0]) < minimum:
            self.refuse(column, "this is not an acceptable number", allowed=f"whole numbers >= {minimum}")
            return None
        return int(text.split(".")[0])

    def require_whole(self, column: str, *, minimum: int) -> int:
        """A whole number of at least `minimum`."""
        if not self.require_text(column):
            return minimum
        number = self.whole(column, minimum=minimum)
        return minimum if number is None else number

    def number(self, column: str, *, minimum: float = -math.inf) -> float | None:
        """A finite number of at least `minimum`; None when the cell is blank."""
        text = self.text(column)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < minimum:
            allowed = "a number" if minimum == -math.inf else f"a number >= {minimum:g}"
            self.refuse(column, "this is not an acceptable number", allowed=f"{allowed}, or nothing")
            return None
        return number

    def json_object(self, column: str, *, reserved: Collection[str] = ()) -> dict[str, Any]:
        """A JSON object without the reserved keys; empty when the cell is blank."""
        text = self.text(column)
        if not text:
            return {}
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            self.refuse(column, f"this is not valid JSON ({error})", allowed='a JSON object such as {"seed": 1}')
            return {}
        if not isinstance(value, dict):
            self.refuse(column, "this is JSON, but no object", allowed='a JSON object such as {"seed": 1}')
            return {}
        for key in sorted(set(reserved) & set(value)):
            self.refuse(column, f"'{key}' is set for each request and cannot be fixed here")
        return value


def read_table(path: Path, log: InputLog, *, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """Rows of a CSV in the order of the file; empty when the file cannot be read or a required column is missing.

    Accepted as they come: a byte order mark, CRLF, blank lines, quoted cells over several lines, columns in any order,
    columns nobody asked for.
    """
    text = read_input_text(path, log)
    if text is None:
        return []
    records = _iter_records(path, text, log)
    first = next(records, None)
    if first is None:
        if not text.strip():
            log.add(path, "the file is empty", allowed=f"a header with the columns {', '.join(required)}")
        return []
    columns = [name.strip().lower() for name in first[1]]
    if not _accept_header(_Header(path, first[0], columns, required, optional), log):
        return []
    rows = [_find_row(path, line, columns, record, log) for line, record in records]
    return [row for row in rows if row is not None]


def read_input_text(path: Path, log: InputLog) -> str | None:
    """Text of an input file without byte order mark and with plain line ends; None, and a problem, when unreadable."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        log.add(path, "the file does not exist")
        return None
    except OSError as error:
        log.add(path, f"the file cannot be read ({(error.strerror or str(error)).lower()})")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        shown = content[error.start : error.start + 1].hex()
        log.add(path, f"this is not UTF-8 text (byte 0x{shown})", line=line, allowed="files saved as UTF-8")
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def require_unique(rows: Sequence[tuple[Row, str]], column: str) -> None:
    """Notes every id that stands twice; ids that differ only in case count as equal, for gen_ids do not tell them."""
    first_lines: dict[str, Row] = {}
    for row, value in rows:
        if not value:
            continue
        first = first_lines.setdefault(value.lower(), row)
        if first is not row:
            same = first.text(column) == value
            message = "this id stands" if same else f"this id differs only in case from '{first.text(column)}'"
            row.refuse(column, f"{message} already in line {first.line}")


def show_path(path: Path) -> str:
    """The path as a user would type it: relative to the working directory where that is possible."""
    if path.is_absolute():
        try:
            return str(path.relative_to(Path.cwd()))
        except ValueError:
            pass
    return str(path)


@dataclass(frozen=True, slots=True)
class _Header:
    path: Path
    line: int
    columns: Sequence[str]
    required: Sequence[str]
    optional: Sequence[str]


def _iter_records(path: Path, text: str, log: InputLog) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            log.add(path, f"the row cannot be read: {error}", line=line, allowed='quotes as "a ""word"", with a comma"')
            return
        if any(cell.strip() for cell in record):
            yield line, record


def _accept_header(table: _Header, log: InputLog) -> bool:
    columns, known = table.columns, [*table.required, *table.optional]
    strangers = [name for name in columns if name and name not in known]

    def refuse(message: str, *, value: str | None = None, allowed: str | None = None) -> None:
        log.add(table.path, message, line=table.line, value=value, allowed=allowed)

    for name in sorted({name for name in columns if name and columns.count(name) > 1}):
        refuse(f"the column '{name}' stands twice")
    missing = [name for name in table.required if name not in columns]
    if missing and len(columns) == 1 and re.search(r"[;\t]", columns[0]):
        refuse("the columns are not separated by commas", value=columns[0], allowed=_COMMAS)
        return False
    for name in missing:
        refuse(f"the column '{name}' is missing{suggest(name, strangers)}", allowed=", ".join(known))
    for name in table.optional:
        # A misspelt optional column would be ignored without a word, and with it everything it was to say.
        if name not in columns and (near := get_close_matches(name, strangers, 1, cutoff=0.85)):
            refuse(f"the column '{near[0]}' is unknown; is '{name}' meant?", allowed=", ".join(known))
    return not missing


def _find_row(path: Path, line: int, columns: Sequence[str], record: Sequence[str], log: InputLog) -> Row | None:
    cells = [cell.strip() for cell in record]
    if any(cells[len(columns) :]):
        log.add(
            path,
            f"the row has {len(cells)} cells, but the header names {len(columns)} columns",
            line=line,
            value=",".join(cells),
            allowed="text with commas in double quotes",
        )
        return None
    return Row(path, line, dict(zip(columns, cells, strict=False)), log)
