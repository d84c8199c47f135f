"""What all pictures share: ink, sizes, the picture of nothing, and files of a chart."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import polars as pl

INK, MID, PALE = "#111111", "#767676", "#cfcfcf"
Chart = Any
"""An Altair chart of any kind: its classes share no useful base."""

DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 1])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
ROW_HEIGHT = 22
WIDTH = 460


def data(frame: pl.DataFrame) -> alt.InlineData:
    """The rows of a frame as a chart's data; no pandas, no arrow, no file."""
    return alt.InlineData(values=frame.to_dicts())


def finish(chart: Chart, title: str, subtitle: str | list[str] = "") -> Chart:
    """The chart with its title, in this project's look."""
    head = alt.TitleParams(title, subtitle=subtitle, anchor="start", subtitleColor=MID, subtitleFontSize=11, offset=10)
    return (
        chart.properties(title=head, background="white", padding=12)
        .configure(font="Liberation Sans, Arial, sans-serif")
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            gridColor="#e6e6e6",
            domainColor=MID,
            tickColor=MID,
            labelLimit=280,
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
        )
        .configure_view(stroke=None)
        .configure_legend(labelLimit=260, titleFontWeight="normal", symbolStrokeColor=INK, symbolFillColor=INK)
        .configure_header(labelFontSize=11, labelFontWeight="bold", title=None, labelAnchor="start", labelLimit=460)
        .configure_title(fontSize=14)
    )


def draw_nothing(title: str, why: str) -> Chart:
    """A picture that says that there is nothing to show, and why."""
    words = alt.Chart(alt.InlineData(values=[{"why": why}])).mark_text(color=MID, fontSize=12, align="center")
    return finish(words.encode(text="why:N").properties(width=WIDTH, height=60, description=why), title)


def find_why_nothing(chart: Chart) -> str | None:
    """Why there is nothing to show, if this is such a picture."""
    return chart.description if isinstance(chart.description, str) else None


def points_axis(low: float, high: float) -> alt.Axis:
    """Ticks in whole points with both ends of the scale among them."""
    span = high - low
    step = max(1.0, math.ceil(span / 12)) if span >= 5 else span / 5
    count = round(span / step) if step else 0
    ticks = [low + step * index for index in range(count)]
    return alt.Axis(values=[round(tick, 3) for tick in (*ticks, high)], format="~g")


def ratings_on_y(column: str, low: float, high: float) -> alt.Y:
    """Mean ratings over the whole scale, upwards; all layers of a picture need the same axis."""
    scale = alt.Scale(domain=[low, high], nice=False)
    return alt.Y(f"{column}:Q", title="Mean rating, points (whole scale)", scale=scale, axis=points_axis(low, high))


def stack_panels(layers: Chart, column: str) -> Chart:
    """One panel per value of a column below each other, each with its own rows and its name above it."""
    return layers.facet(facet=alt.Facet(f"{column}:N", sort=None), columns=1).resolve_scale(y="independent")


def two_line_facet(column: str) -> alt.Facet:
    """Panels with a name of two lines, divided by a line break: one line is soon longer than its panel is wide."""
    return alt.Facet(f"{column}:N", sort=None, header=alt.Header(labelExpr="split(datum.value, '\\n')"))


def two_digits(column: str) -> pl.Expr:
    """The numbers of a column with two digits behind the point, as text; null stays null."""
    return pl.col(column).map_elements(
        lambda value: f"{round(value, 2) + 0.0:.2f}".replace("-", "−"), return_dtype=pl.String
    )


def render_png(chart: Chart, scale: float = 2.0) -> bytes:
    """The chart as PNG; needs no network and no browser."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(chart.to_dict(), scale=scale, allowed_base_urls=[]))


def render_svg(chart: Chart) -> str:
    """The chart as SVG."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[]))
