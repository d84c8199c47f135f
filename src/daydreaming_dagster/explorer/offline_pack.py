"""One HTML file to rate essays with, for people who have nothing but a browser.

It asks nobody for anything: script and style are inside and named by their hashes in the file's own policy, what the
rater says stays in their browser until they save it as CSV, which `/rate` takes in.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from daydreaming_dagster.domain.catalogue import Template
from daydreaming_dagster.explorer.texts import make_visible, render_markdown


def build_pack(
    rater: str, rubric: Template, question: str, steps: Sequence[float], essays: Sequence[tuple[str, str]]
) -> str:
    """The file.

    Args:
        rater: whose ratings they will be.
        rubric: what is rated.
        question: the rubric's text for people.
        steps: scores that can be given.
        essays: gen_id and text of each, in the order in which they are shown.
    """
    script, style = _read("pack.js"), _read("pack.css")
    facts = {
        "rater": rater,
        "rubric": rubric.template_id,
        "essays": [gen_id for gen_id, _ in essays],
        "pack": hashlib.sha256(orjson.dumps([rater, rubric.template_id, [g for g, _ in essays]])).hexdigest()[:16],
    }
    environment = Environment(
        loader=PackageLoader("daydreaming_dagster.explorer"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("pack.html").render(
        rubric=rubric,
        question=make_visible(question),
        steps=steps,
        rater=rater,
        essays=[render_markdown(text) for _, text in essays],
        facts=orjson.dumps(facts).decode().replace("<", "\\u003c"),
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
    )


@lru_cache(maxsize=4)
def _read(name: str) -> str:
    return files("daydreaming_dagster.explorer").joinpath("static", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
