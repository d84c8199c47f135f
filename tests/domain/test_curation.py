"""The tables of the selection modes, on stores with replicates, gaps and generations of other cohorts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daydreaming_dagster.domain.curation import Replicates, Source, build_curated_members
from daydreaming_dagster.domain.membership import (
    Axes,
    Member,
    build_draft,
    build_essay,
    build_evaluation,
    require_distinct_ids,
    require_valid_parents,
)
from daydreaming_dagster.domain.selection import Mode
from daydreaming_dagster.domain.stages import Stage

AXES = Axes(
    ("notes",), ("narrative", "copy"), ("novelty", "coherence"), ("writer",), ("judge",), dict.fromkeys(Stage, 1)
)


def stored_draft(replicate: int = 1, combo_id: str = "combo-1") -> Member:
    return build_draft("cohort-old", "cartesian", combo_id, "notes", "writer", replicate=replicate)


def stored_essay(draft: Member, replicate: int = 1, template_id: str = "narrative") -> Member:
    return build_essay(draft, template_id, replicate)


def twice(axes: Axes) -> Axes:
    return Axes(
        axes.draft_templates,
        axes.essay_templates,
        axes.evaluation_templates,
        axes.generation_models,
        axes.evaluation_models,
        dict.fromkeys(Stage, 2),
    )


def rows(members: Iterable[Member], stage: Stage) -> list[tuple[str, int]]:
    return [(member.template_id, member.replicate) for member in members if member.stage is stage]


def build(mode: Mode, sources: list[Source], existing: Iterable[Member] = (), axes: Axes = AXES) -> list[Member]:
    members = build_curated_members("cohort-new", mode, sources, axes, Replicates(existing))
    require_distinct_ids(members)
    require_valid_parents(members)
    assert {(member.cohort_id, member.mode) for member in members} == {("cohort-new", mode.value)}
    return members


def test_regenerating_an_essay_makes_a_new_draft_and_its_essay_anew() -> None:
    draft = stored_draft()
    members = build(Mode.REGENERATE, [Source(draft, stored_essay(draft))], [draft])
    assert rows(members, Stage.DRAFT) == [("notes", 2)]
    assert rows(members, Stage.ESSAY) == [("narrative", 1)]
    assert rows(members, Stage.EVALUATION) == [("novelty", 1), ("coherence", 1)]


def test_reusing_drafts_keeps_the_draft_and_makes_the_essay_anew() -> None:
    draft = stored_draft()
    essays = [stored_essay(draft, replicate) for replicate in (1, 2)]
    members = build(Mode.REUSE_DRAFTS, [Source(draft, essays[0])], essays)
    assert members[0].gen_id == draft.gen_id
    assert rows(members, Stage.ESSAY) == [("narrative", 3)]
    assert rows(members, Stage.EVALUATION) == [("novelty", 1), ("coherence", 1)]


def test_reusing_essays_keeps_both_and_makes_new_evaluations() -> None:
    draft = stored_draft()
    essay = stored_essay(draft)
    members = build(Mode.REUSE_ESSAYS, [Source(draft, essay)], [build_evaluation(essay, "novelty", "judge", 1)])
    assert [member.gen_id for member in members[:2]] == [draft.gen_id, essay.gen_id]
    assert rows(members, Stage.EVALUATION) == [("novelty", 2), ("coherence", 1)]


def test_a_selected_draft_gets_an_essay_of_every_active_template() -> None:
    draft = stored_draft()
    members = build(Mode.REUSE_DRAFTS, [Source(draft)], [stored_essay(draft)])
    assert rows(members, Stage.DRAFT) == [("notes", 1)]
    assert rows(members, Stage.ESSAY) == [("narrative", 2), ("copy", 1)]
    assert len(rows(members, Stage.EVALUATION)) == 4


def test_a_regenerated_draft_gets_an_essay_of_every_active_template() -> None:
    draft = stored_draft()
    members = build(Mode.REGENERATE, [Source(draft)], [draft, stored_draft(4)])
    assert rows(members, Stage.DRAFT) == [("notes", 5)]
    assert rows(members, Stage.ESSAY) == [("narrative", 1), ("copy", 1)]


def test_new_replicates_count_on_behind_gaps() -> None:
    draft = stored_draft()
    essays = [stored_essay(draft, replicate) for replicate in (1, 3, 7)]
    members = build(Mode.REUSE_DRAFTS, [Source(draft, essays[0])], essays, twice(AXES))
    assert rows(members, Stage.ESSAY) == [("narrative", 8), ("narrative", 9)]


def test_two_essays_of_one_draft_share_its_new_draft() -> None:
    draft = stored_draft()
    sources = [Source(draft, stored_essay(draft)), Source(draft, stored_essay(draft, 1, "copy"))]
    members = build(Mode.REGENERATE, sources, [draft])
    assert rows(members, Stage.DRAFT) == [("notes", 2)]
    assert rows(members, Stage.ESSAY) == [("narrative", 1), ("copy", 1)]


def test_two_replicates_of_one_essay_become_two_new_ones() -> None:
    draft = stored_draft()
    essays = [stored_essay(draft, replicate) for replicate in (1, 2)]
    sources = [Source(draft, essay) for essay in essays]
    assert rows(build(Mode.REUSE_DRAFTS, sources, essays), Stage.ESSAY) == [("narrative", 3), ("narrative", 4)]
    assert rows(build(Mode.REGENERATE, sources, [draft]), Stage.ESSAY) == [("narrative", 1), ("narrative", 2)]


def test_two_replicates_of_one_draft_become_two_new_ones() -> None:
    drafts = [stored_draft(1), stored_draft(2)]
    members = build(Mode.REGENERATE, [Source(draft) for draft in drafts], drafts)
    assert rows(members, Stage.DRAFT) == [("notes", 3), ("notes", 4)]


def test_fill_up_makes_what_is_missing_and_counts_what_exists() -> None:
    draft = stored_draft()
    essay = stored_essay(draft)
    existing = [build_evaluation(essay, "novelty", "judge", replicate) for replicate in (1, 3)]
    existing.append(build_evaluation(essay, "coherence", "judge", 2))
    members = build_curated_members(
        "cohort-new", Mode.REUSE_ESSAYS, [Source(draft, essay)], twice(AXES), Replicates(existing), fill_up=True
    )
    assert rows(members, Stage.EVALUATION) == [("novelty", 1), ("novelty", 3), ("coherence", 2), ("coherence", 3)]
    assert {member.cohort_id for member in members} == {"cohort-new"}


def test_fill_up_on_a_complete_store_makes_nothing() -> None:
    draft = stored_draft()
    essay = stored_essay(draft)
    existing = [build_evaluation(essay, template_id, "judge", 1) for template_id in AXES.evaluation_templates]
    members = build_curated_members(
        "cohort-new", Mode.REUSE_ESSAYS, [Source(draft, essay)], AXES, Replicates(existing), fill_up=True
    )
    evaluations = {member.gen_id for member in members if member.stage is Stage.EVALUATION}
    assert evaluations == {member.gen_id for member in existing}


def test_an_id_under_which_something_unreadable_lies_is_not_given_out() -> None:
    draft = stored_draft()
    unreadable = stored_essay(draft, 2).gen_id
    replicates = Replicates([stored_essay(draft)], unusable={unreadable})
    members = build_curated_members("c", Mode.REUSE_DRAFTS, [Source(draft, stored_essay(draft))], AXES, replicates)
    assert rows(members, Stage.ESSAY) == [("narrative", 3)]


def test_existing_replicates_are_found_whatever_their_case() -> None:
    draft = stored_draft()
    existing = stored_essay(draft, 4, "Narrative")
    assert rows(build(Mode.REUSE_DRAFTS, [Source(draft, stored_essay(draft))], [existing]), Stage.ESSAY) == [
        ("narrative", 5)
    ]


@given(
    others=st.sets(st.integers(1, 12)),
    wanted=st.integers(1, 4),
    made=st.sets(st.integers(0, 3)),
    later=st.sets(st.integers(1, 20)),
)
def test_building_again_after_part_of_it_was_made_gives_the_same_replicates(
    others: set[int], wanted: int, made: set[int], later: set[int]
) -> None:
    draft = stored_draft()
    signature = (draft.gen_id, "narrative", "")

    def build_one(replicate: int) -> Member:
        return stored_essay(draft, replicate)

    first = Replicates([build_one(number) for number in others]).mint(signature, build_one, wanted)
    own = [member for index, member in enumerate(first) if index in made]
    by_others = (others | {number for number in later if number > max(m.replicate for m in first)}) - {
        member.replicate for member in first
    }
    again = Replicates([build_one(number) for number in by_others] + own, own={member.gen_id for member in own})
    if own:
        assert again.mint(signature, build_one, wanted) == first
    else:
        assert min(m.replicate for m in again.mint(signature, build_one, wanted)) > max(by_others, default=0)


@given(st.sets(st.integers(1, 30)), st.integers(1, 5), st.sampled_from([Mode.REUSE_DRAFTS, Mode.REGENERATE]))
def test_a_new_replicate_never_has_a_number_that_exists(existing: set[int], number: int, mode: Mode) -> None:
    draft = stored_draft()
    axes = Axes(*(("x",),) * 5, replicates=dict.fromkeys(Stage, number))
    minted = Stage.DRAFT if mode is Mode.REGENERATE else Stage.ESSAY
    stored = [stored_draft(n) if minted is Stage.DRAFT else stored_essay(draft, n) for n in existing]
    members = build_curated_members("c", mode, [Source(draft, stored_essay(draft))], axes, Replicates(stored))
    new = [member.replicate for member in members if member.stage is minted]
    assert new == list(range(max(existing, default=0) + 1, max(existing, default=0) + 1 + number))


@pytest.mark.parametrize("mode", list(Mode))
def test_every_row_of_every_mode_has_its_parent(mode: Mode) -> None:
    draft, other = stored_draft(), stored_draft(1, "combo-2")
    sources = [
        Source(draft, stored_essay(draft)),
        Source(other, stored_essay(other)),
        Source(draft, stored_essay(draft, 2)),
    ]
    build(mode, sources, axes=twice(AXES))
