"""Untrusted texts made fit to be shown: Markdown without HTML, control characters made visible, nothing endless."""

from __future__ import annotations

import re
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markupsafe import Markup

MOST_MARKDOWN_CHARACTERS = 120_000
"""A longer text is shown as it stands: Markdown of that size is no essay, and costs seconds."""
MOST_SHOWN_CHARACTERS = 400_000
_LONGEST_LINE = 20_000

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_TAGS = {
    *("p", "br", "hr", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li", "a", "s"),
    *("h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_FORMULA = re.compile(
    r"\$\$.+?\$\$|\$(?![\s\d$])[^$\n]*[^$\s]\$(?!\w)|\\\(.+?\\\)|\\\[.+?\\\]",
    re.DOTALL,
)


def _keep_formula(state: StateInline, silent: bool) -> bool:
    """A formula in TeX is shown as it was written: Markdown would take its signs for its own."""
    found = _FORMULA.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.push("code_inline", "code", 0).content = found.group()
    state.pos = found.end()
    return True


_markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
_markdown.enable(["table", "strikethrough"]).disable("image").inline.ruler.before("escape", "formula", _keep_formula)


def make_visible(text: str) -> str:
    """The text with control characters replaced by the sign for an unreadable one."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def make_label(text: str) -> str:
    """A text for one line among ours: no line ends, and no marks that turn the direction of what follows."""
    return " ".join(_DIRECTION.sub("", make_visible(text)).split())


def shorten(text: str) -> tuple[str, bool]:
    """What of a text is shown, and whether something is left out."""
    shown = text[:MOST_SHOWN_CHARACTERS]
    return shown, len(shown) < len(text)


@lru_cache(maxsize=256)
def render_markdown(text: str, title: str = "") -> Markup:
    """The text as HTML that holds no script, style, image or frame, whatever the text says.

    The highest headings are of the third level, below those of the page; one that opens the text with the `title` that
    the page shows already is left out.
    """
    shown, _ = shorten(make_visible(text))
    if len(shown) > MOST_MARKDOWN_CHARACTERS or any(len(line) > _LONGEST_LINE for line in shown.splitlines()):
        return Markup('<pre class="plain">{}</pre>').format(shown)
    tokens = _markdown.parse(shown)
    if title and [token.type for token in tokens[:2]] == ["heading_open", "inline"]:
        heading = " ".join(re.sub(r"[*`]+", "", tokens[1].content).split())
        tokens = tokens[3:] if heading == title else tokens
    headings = [token for token in tokens if token.type.startswith("heading_")]
    down = 3 - min((int(token.tag[1]) for token in headings), default=3)
    for token in headings:
        token.tag = f"h{min(int(token.tag[1]) + down, 6)}"
    html = _markdown.renderer.render(tokens, _markdown.options, {})
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes={"ol": {"start"}, "a": {"href"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    # What is wider than the page is scrolled by itself, also by keyboard.
    scrolled = '<div class="wider" tabindex="0" role="region" aria-label="Table"><table>'
    return Markup(clean.replace("<table>", scrolled).replace("</table>", "</table></div>"))
