"""A report as a value: sections of sentences, tables, pictures and quotations, before it becomes HTML or Markdown.

Everything in it is plain text. What it takes to show a text safely is decided where it is written out, so that an
essay can never be taken for markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph; `is_lead` for the sentence that a hurried reader should not miss."""

    text: str
    is_lead: bool = False
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; `is_warning` for what a reader has to know before believing a number."""

    items: Sequence[str]
    is_warning: bool = False
    kind: ClassVar[str] = "bullets"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table.

    Attributes:
        caption: what it shows, with the meaning of its columns where that is not plain.
        headers: one per column.
        rows: cells, as many as there are headers.
        n_text: how many of the first columns are words; the others are numbers and stand right-aligned.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_text: int = 1
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot.

    Attributes:
        name: of its files, without ending.
        alt: what it shows, for those who do not see it.
        svg: as written to `plots/<name>.svg`.
    """

    name: str
    alt: str
    svg: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True, slots=True)
class Quotation:
    """Words of a model; `label` says whose and what about."""

    label: str
    text: str
    kind: ClassVar[str] = "quotation"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values."""

    pairs: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


Block = Paragraph | Bullets | Grid | Picture | Quotation | Facts


@dataclass(frozen=True, slots=True)
class Section:
    """A part with a heading; `parts` have headings one level lower."""

    title: str
    blocks: Sequence[Block] = ()
    parts: Sequence[Section] = field(default=())

    @property
    def anchor(self) -> str:
        """Its address within the report."""
        letters = "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())
        return "-".join(part for part in letters.split("-") if part)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report.

    Attributes:
        made_at: when, UTC, for people.
    """

    title: str
    subtitle: str
    made_at: str
    sections: Sequence[Section]
