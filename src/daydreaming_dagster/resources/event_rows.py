"""Rows of Dagster's event log, filled into templates that Dagster itself has serialized.

A run makes three materializations a generation, and to serialize one takes Dagster a third of a millisecond. Those of
one asset differ in a few values only: the first is serialized with placeholders, and the others are filled in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from dagster import EventLogEntry, MetadataValue, UrlMetadataValue

_UNLIKELY, _UNLIKELY_TIME = 700_000_000_000_000, 4_100_000_000.5
"""Numbers that nothing else in an event has, and that a float holds exactly."""

Fact = str | int | float | MetadataValue[Any]


@dataclass(frozen=True, slots=True)
class Materialization:
    """A partition of an asset that was made.

    Attributes:
        asset_key: name of the asset, such as `draft_raw`.
        partition: the generation's id.
        metadata: what is shown beside it; with anything but texts, numbers and addresses it takes Dagster longer.
    """

    asset_key: str
    partition: str
    metadata: Mapping[str, Fact]


@dataclass(frozen=True, slots=True)
class EventRow:
    """An asset event that is ready to be inserted.

    Attributes:
        row: columns of the event table.
        build_entry: gives the event as Dagster's own object, for the few places that need it.
        has_tags: whether it may carry tags.
    """

    row: Mapping[str, Any]
    build_entry: Callable[[], EventLogEntry]
    has_tags: bool = False


class RowTemplates:
    """Builds the rows of one run's materializations.

    Args:
        build_entry: the event of a materialization at a time, seconds since 1970.
    """

    def __init__(self, build_entry: Callable[[Materialization, float], EventLogEntry]) -> None:
        self._build_entry = build_entry
        self._templates: dict[tuple[Any, ...], _Template | None] = {}

    def build(self, made: Materialization, at: float, build_row: Callable[[EventLogEntry], EventRow]) -> EventRow:
        """The row that `build_row`, which is the storage's, would make of the event."""
        shape = (made.asset_key, *((name, type(value)) for name, value in made.metadata.items()))
        if shape not in self._templates:
            self._templates[shape] = self._make_template(made, build_row)
        if (template := self._templates[shape]) is None:
            return build_row(self._build_entry(made, at))
        return EventRow(template.fill(made, at), partial(self._build_entry, made, at))

    def _make_template(self, made: Materialization, build_row: Callable[[EventLogEntry], EventRow]) -> _Template | None:
        """None where a value cannot be told from the rest of the text, or is of an unexpected type."""
        mark = uuid4().hex
        placeholders: dict[type, Callable[[int], Fact]] = {
            str: lambda number: f"{mark}-{number}",
            int: lambda number: _UNLIKELY + number,
            float: lambda number: _UNLIKELY + number + 0.5,
            UrlMetadataValue: lambda number: MetadataValue.url(f"{mark}-{number}"),
        }
        if any(type(value) not in placeholders for value in made.metadata.values()):
            return None
        values = {name: placeholders[type(value)](number) for number, (name, value) in enumerate(made.metadata.items())}
        sample = Materialization(made.asset_key, f"{mark}-partition", values)
        texts = _dump_gaps(sample, _UNLIKELY_TIME)
        row = build_row(self._build_entry(sample, _UNLIKELY_TIME)).row
        parts = re.split(f"({'|'.join(map(re.escape, texts))})", row["event"])
        literals, gaps = parts[::2], [texts.index(text) for text in parts[1::2]]
        if len(set(gaps)) < len(texts) or any(mark in literal for literal in literals):
            return None
        return _Template(row, literals, gaps)


@dataclass(frozen=True, slots=True)
class _Template:
    """A row with gaps.

    Attributes:
        row: of the event with placeholders.
        literals: the serialized event's text between the gaps, one more than these.
        gaps: what goes into each: 0 the partition, 1 the time, then the metadata in their order.
    """

    row: Mapping[str, Any]
    literals: Sequence[str]
    gaps: Sequence[int]

    def fill(self, made: Materialization, at: float) -> dict[str, Any]:
        texts = _dump_gaps(made, at)
        pieces = [self.literals[0]]
        for gap, literal in zip(self.gaps, self.literals[1:], strict=True):
            pieces += (texts[gap], literal)
        time = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
        return {**self.row, "event": "".join(pieces), "timestamp": time, "partition": made.partition}


def _dump_gaps(made: Materialization, at: float) -> list[str]:
    values = (value.url if isinstance(value, UrlMetadataValue) else value for value in made.metadata.values())
    return [json.dumps(value) for value in (made.partition, at, *values)]
