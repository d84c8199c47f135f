from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.explorer.readable_store import ReadableStore

from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.explorer.essay_query import EssayQuery, find_essays


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadableStore]:
    """Essays of which two share a mean, one has fewer judges, and one has no score."""
    store = ReadableStore(tmp_path_factory.mktemp("uneven") / "data")
    store.fill()
    essays = [member.gen_id for member in store.of(Stage.ESSAY)]
    scores = dict(zip(essays, [(7, 5), (6, 6), (8, None), (3, 4), (None, None), (6, None)], strict=True))
    for judged in store.of(Stage.EVALUATION):
        score = scores[judged.parent_gen_id][judged.llm_model_id == "kind"]
        failure = {"reason": "parse_failed", "message": "no score"} if score is None else None
        store.write(judged, place=(score or 0) - 1, failure=failure)
    store.refresh()
    yield store
    store.close()


@pytest.mark.parametrize("sort", ["score", "lowest"])
@pytest.mark.parametrize("filters", [EssayQuery(), EssayQuery(essay_template="narrative"), EssayQuery(model="none")])
def test_the_first_essays_of_a_list_are_the_head_of_the_whole(
    uneven: ReadableStore, sort: str, filters: EssayQuery
) -> None:
    query = replace(filters, rubric="novelty", sort=sort)
    whole = [essay["gen_id"] for essay in find_essays(uneven.site, query)]
    for limit in range(1, len(whole) + 1):
        assert [essay["gen_id"] for essay in find_essays(uneven.site, query, limit=limit)] == whole[:limit]
