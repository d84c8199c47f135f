"""The pages that the documentation tells people to open."""

from __future__ import annotations

import re

import pytest
from tests.guide.servers import fetch, serve
from tests.guide.shell import GuideShell


@pytest.mark.slow
def test_the_explorer_says_where_it_is_and_answers_there(shell: GuideShell) -> None:
    with serve(shell, "daydreaming explore --port 0") as server:
        said = server.wait_for(lambda: re.search(r"http://127\.0\.0\.1:\d+/", server.read_log()), "its address")
        cohort = next(shell.folder.glob("data/cohorts/cohort-*")).name
        # The first pages are served while the texts are still being read.
        server.wait_for(lambda: cohort in (fetch(said[0]) or "") or None, "its cohort")
