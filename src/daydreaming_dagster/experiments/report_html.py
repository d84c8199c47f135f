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
_MARKUP = re.compile(r"[\\`*<>|~$&@]|\](?=[(\[:])|(?<![^\W_])_|_(?![^\W_])|(?<=[a-z]):(?=//)", re.ASCII)
_LINE_START = re.compile(r"^([#>+\-=]|\d+(?=[.)] ))")
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
    lines = [
        f"# {escape_markdown(document.title)}",
        "",
        escape_markdown(document.subtitle),
        "",
        f"Made {document.made_at}.",
        "",
    ]
    for section in document.sections:
        lines += _section_lines(section, level=2)
    return clean("\n".join(lines).rstrip() + "\n")


def clean(text: str) -> str:
    """The text without characters that are invisible and could mislead."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8", errors="replace")).decode()


def _section_lines(section: Section, level: int) -> Iterator[str]:
    yield f"{'#' * level} {escape_markdown(section.title)}"
    yield ""
    for block in section.blocks:
        yield from _block_lines(block)
        yield ""
    for part in section.parts:
        yield from _section_lines(part, level + 1)


def _block_lines(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield f"**{escape_markdown(block.text)}**" if block.is_lead else escape_markdown(block.text)
        case Bullets():
            yield from (f"- {escape_markdown(item)}" for item in block.items)
        case Facts():
            yield from (f"- **{escape_markdown(name)}**: {escape_markdown(value)}" for name, value in block.pairs)
        case Picture():
            yield f"![{escape_markdown(block.alt)}](plots/{block.name}.svg)"
        case Grid():
            yield from _grid_lines(block)
        case Quotation():
            yield from _quotation_lines(block)


def _grid_lines(grid: Grid) -> Iterator[str]:
    yield escape_markdown(grid.caption)
    yield ""
    yield "| " + " | ".join(escape_markdown(header) for header in grid.headers) + " |"
    yield "|" + "|".join("---" if at < grid.n_text else "---:" for at in range(len(grid.headers))) + "|"
    yield from ("| " + " | ".join(escape_markdown(cell) for cell in row) + " |" for row in grid.rows)


def _quotation_lines(quotation: Quotation) -> Iterator[str]:
    """Inside a fence longer than any in the text nothing is markup."""
    longest = max((len(run) for run in re.findall(r"`+", quotation.text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{escape_markdown(quotation.label)}:"
    yield ""
    yield f"{fence}text"
    for line in quotation.text.splitlines():
        yield from textwrap.wrap(line, _QUOTE_WIDTH, break_on_hyphens=False) or [""]
    yield fence


def escape_markdown(text: str) -> str:
    """Text on one line in which Markdown finds no markup."""
    one_line = " ".join(text.split())
    escaped = _MARKUP.sub(lambda match: "&lt;" if match[0] == "<" else f"\\{match[0]}", one_line)
    if (start := _LINE_START.match(escaped)) is None:
        return escaped
    at = start.end() if start[1].isdecimal() else 0
    return f"{escaped[:at]}\\{escaped[at:]}"
