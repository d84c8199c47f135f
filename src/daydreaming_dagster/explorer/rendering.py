"""From values to pages: the Jinja environment, its filters, and the answers made with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from daydreaming_dagster.explorer.essay_query import link_to
from daydreaming_dagster.explorer.site import Site
from daydreaming_dagster.explorer.texts import make_label, make_visible, render_markdown, shorten

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


_PLOT_SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-interpreter.js")
"""In the order in which they must run."""


class Static:
    """The files of `static/`, read once: an address names one of them or nothing."""

    def __init__(self) -> None:
        folder = files("daydreaming_dagster.explorer").joinpath("static")
        self.contents = {
            entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(tuple(_TYPES))
        }
        self.versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in self.contents.items()}

    def link(self, name: str) -> str:
        """Address of a file; another one whenever its content is."""
        return f"/static/{name}?v={self.versions[name]}"

    def answer(self, request: Request) -> Response:
        """A file, or 404."""
        name = request.path_params["name"]
        content = self.contents.get(name)
        if content is None:
            return Response("There is no such file.", 404, media_type="text/plain")
        kind = _TYPES[name[name.rindex(".") :]]
        return Response(content, media_type=kind, headers={"Cache-Control": "public, max-age=31536000, immutable"})


class Pages:
    """Makes pages of one site."""

    def __init__(self, site: Site, static: Static) -> None:
        self.site = site
        self._environment = Environment(
            loader=PackageLoader("daydreaming_dagster.explorer"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,  # a package that is replaced meanwhile must not mix its pages with our code
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "label": lambda text: make_label(site.redact(str(text))),
            "markdown": self._render_markdown,
            "plain": lambda text: make_visible(site.redact(shorten(text)[0])),
            "points": show_points,
            "usd": show_usd,
            "count": lambda number: f"{number:,}",
            "seconds": show_seconds,
            "path": lambda text: quote(str(text), safe=""),
        }
        self._environment.globals |= {
            "static": static.link,
            "plot_scripts": " ".join(static.link(name) for name in _PLOT_SCRIPTS),
            "font": lambda name: f"/static/{name}",  # as the style sheet names it, else it would be loaded twice
            "link_to": link_to,
            "concept_name": site.concept_name,
            "rubric_name": site.rubric_name,
            "heat": find_heat,
            "known": add_chosen,
            "site": site,
            "stacked": stack,
            "strip": draw_strip,
        }

    def _render_markdown(self, text: str, title: str = "") -> Markup:
        return render_markdown(self.site.redact(text), title)

    def load_templates(self) -> None:
        """Translates all templates now, so that no visitor waits for it."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def page(self, name: str, values: Mapping[str, Any], status: int = 200) -> Response:
        """A whole page, or the part of one, by the name of its template."""
        template = self._environment.get_template(name)
        html = template.render(**values)
        return HTMLResponse(make_visible(html).encode("utf-8", errors="replace"), status)

    def refuse(self, status: int, what: str, fix: str) -> Response:
        """The page of an error: what is wrong, and what to do."""
        return self.page("error.html", {"status": status, "what": what, "fix": fix, "active": ""}, status)


def add_chosen(values: Sequence[str], chosen: str) -> list[str]:
    """What a filter can be set to; what it is set to is among it, even where there is nothing of that kind."""
    return [*values, *([chosen] if chosen and chosen not in values else [])]


def show_points(value: float | None, digits: int = 1) -> str:
    """A score; a dash where there is none, and a true minus sign."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def show_usd(value: float | None) -> str:
    """An amount of money with as many digits as it needs."""
    if value is None:
        return "–"
    if value == 0 or value >= 0.995:
        return f"${value:,.2f}"
    if value < 0.00005:
        return "<$0.0001"
    return f"${value:.4f}" if value < 0.01 else f"${value:.3f}"


def show_seconds(value: float | None) -> str:
    """A duration."""
    if value is None:
        return "–"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.0f} min"


def find_heat(value: float | None, low: float, high: float) -> str:
    """The CSS class of a value's colour between two ends; the policy allows only the eleven of the style sheet."""
    if value is None:
        return "heat-none"
    share = (value - low) / (high - low) if high > low else 0.5
    return f"heat-{round(10 * min(max(share, 0.0), 1.0))}"


def stack(parts: list[tuple[str, int]], total: int) -> Markup:
    """A bar of parts, as SVG: names are CSS classes, numbers their lengths."""
    rects, x = [], 0.0
    for name, count in parts:
        width = 100 * count / total if total else 0
        if width:
            rects.append(Markup('<rect class="{}" x="{:.3f}" width="{:.3f}" height="8"/>').format(name, x, width))
        x += width
    return Markup('<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">{}</svg>').format(
        Markup("").join(rects)
    )


def draw_strip(scale: tuple[float, float], low: float | None, high: float | None, middle: float | None) -> Markup:
    """Where a score lies on its scale, as SVG: a bar from `low` to `high` and a mark at `middle`."""
    start, end = scale
    if middle is None or end <= start:
        return Markup("")

    def place(value: float) -> float:
        return 100 * min(max((value - start) / (end - start), 0.0), 1.0)

    left, right = (place(middle if value is None else value) for value in (low, high))
    return Markup(
        '<svg class="strip" viewBox="-2 0 104 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="track" x="0" y="3" width="100" height="2"/>'
        '<rect class="range" x="{:.2f}" y="2" width="{:.2f}" height="4"/>'
        '<rect class="mark" x="{:.2f}" y="0" width="2.4" height="8"/></svg>'
    ).format(left, right - left, place(middle) - 1.2)
