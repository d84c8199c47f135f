"""A report as one HTML file that asks no network for anything, and as Markdown that says the same."""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Iterator

from daydreaming_dagster.experiments.report_document import (
    Block,
    Bullets,
    Document,
    Facts,
    Grid,
    Paragraph,
    Picture,
    Quotation,
    Section,
)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""Characters that no page may hold, or that would turn the direction of the text around them."""
_MARKUP = re.compile(r"([\\`*\[\]<>|~$&])|(?<![^\W_])(_)|(_)(?![^\W_])|(?<=[a-z])(:)(?=//)|(@)", re.ASCII)
_LINE_START = re.compile(r"^(\d*)([#>+\-=.)])")
_QUOTE_WIDTH = 100


def render_html(document: Document) -> str:
    """The page. Every text in it is escaped; pictures are images of their own, so that nothing in one can run."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("daydreaming_dagster.experiments", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    page = environment.get_template("report.html.j2").render(document=document)
    return clean(page)


def render_markdown(document: Document) -> str:
    """The Markdown twin; pictures are links to `plots/`."""
    lines = [f"# {_plain(document.title)}", "", _plain(document.subtitle), "", f"Made {document.made_at}.", ""]
    for section in document.sections:
        lines += _section_lines(section, level=2)
    return clean("\n".join(lines).rstrip() + "\n")


def clean(text: str) -> str:
    """The text without characters that are invisible and could mislead."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8", errors="replace")).decode()


def _section_lines(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {_plain(section.title)}"
    yield ""
    for block in section.blocks:
        yield from _block_lines(block)
        yield ""
    for part in section.parts:
        yield from _section_lines(part, level + 1)


def _block_lines(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield f"**{_plain(block.text)}**" if block.is_lead else _plain(block.text)
        case Bullets():
            yield from (f"- {_plain(item)}" for item in block.items)
        case Facts():
            yield from (f"- **{_plain(name)}**: {_plain(value)}" for name, value in block.pairs)
        case Picture():
            yield f"![{_plain(block.alt)}](plots/{block.name}.svg)"
        case Grid():
            yield from _grid_lines(block)
        case Quotation():
            yield from _quotation_lines(block)


def _grid_lines(grid: Grid) -> Iterator[str]:
    yield _plain(grid.caption)
    yield ""
    yield "| " + " | ".join(_plain(header) for header in grid.headers) + " |"
    yield "|" + "|".join("---" if at < grid.n_text else "---:" for at in range(len(grid.headers))) + "|"
    yield from ("| " + " | ".join(_plain(cell) for cell in row) + " |" for row in grid.rows)


def _quotation_lines(quotation: Quotation) -> Iterator[str]:
    """Inside a fence longer than any in the text nothing is markup."""
    longest = max((len(run) for run in re.findall(r"`+", quotation.text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{_plain(quotation.label)}:"
    yield ""
    yield f"{fence}text"
    for line in quotation.text.splitlines():
        yield from textwrap.wrap(line, _QUOTE_WIDTH, break_on_hyphens=False) or [""]
    yield fence


def _plain(text: str) -> str:
    """Text on one line in which Markdown finds no markup."""
    one_line = " ".join(text.split())
    escaped = _MARKUP.sub(lambda match: "\\" + match[0], one_line)
    return _LINE_START.sub(r"\1\\\2", escaped)
