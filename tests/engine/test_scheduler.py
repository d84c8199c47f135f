from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.engine.scene import PRICE, Scene, call_error, make_members

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.errors import (
    RateLimitedError,
    RefusedError,
    RunInterruptedError,
    StoreError,
    TransportError,
)
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.budget import Budget, BudgetLimits
from daydreaming_dagster.engine.plan import build_plan
from daydreaming_dagster.store.ledger import Ledger, build_scopes
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.states import MISSING_STATE

OpenScene = Callable[..., Scene]


@pytest.fixture
def open_scene(tmp_path: Path) -> Iterator[OpenScene]:
    scenes: list[Scene] = []

    def open_one(drafts: int = 1, essays: int = 1, evaluations: int = 1, limit: int = 2, **kwargs: object) -> Scene:
        pools = kwargs.pop("pools", {"writer": Pool("writer", limit)})
        scene = Scene(tmp_path, make_members(drafts, essays, evaluations), pools, **kwargs)  # type: ignore[arg-type]
        scenes.append(scene)
        scene.start()
        return scene

    yield open_one
    for scene in scenes:
        scene.close()


def stages_asked(scene: Scene) -> list[str]:
    return [asked.request.prompt.split()[0] for asked in scene.client.asked]


def test_an_essay_starts_when_its_draft_is_stored_although_other_drafts_are_under_way(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=3, limit=3)
    scene.answer(1)
    assert stages_asked(scene) == ["draft", "draft", "essay"]


def test_what_was_begun_is_finished_before_something_new_is_begun(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=20, limit=1)
    order = []
    while scene.client.asked:
        order += stages_asked(scene)
        scene.answer()
    begun_and_unfinished = [order[:n].count("draft") - order[:n].count("evaluation") for n in range(len(order))]
    assert max(begun_and_unfinished) <= 3, "one under way, one on its way to the disk"


def test_at_the_end_the_longest_chains_go_first_so_that_the_pool_stays_full(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=20, limit=8)
    rounds = []
    while under_way := len(scene.client.asked):
        rounds.append(under_way)
        for _ in range(under_way):
            scene.answer()
    assert rounds == [8] * 7 + [4], "60 calls, 8 at a time: no order needs fewer rounds"


def test_a_slow_disk_does_not_keep_the_pool_waiting(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=3, limit=1)
    scene.writer.is_slow = True
    scene.answer()
    assert stages_asked(scene) == ["draft"], "the second draft is asked for while the first is being written"
    assert len(scene.writer.waiting) == 1


def test_a_call_that_failed_in_passing_gives_its_room_back_while_it_waits(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=2, limit=1)
    scene.fail(0, call_error(TransportError, "server_error"))
    assert len(scene.client.asked) == 1
    first = scene.client.asked[0].request
    scene.answer()
    scene.loop.advance(0.1)
    assert scene.client.asked[0].request is not first
    scene.finish()
    assert scene.progress.retries == 1
    assert scene.progress.made.total() == 6


def test_a_refused_call_waits_as_long_as_the_server_asked(open_scene: OpenScene) -> None:
    scene = open_scene(limit=1)
    scene.fail(0, call_error(RateLimitedError, retry_after_s=7.0))
    scene.loop.advance(6.9)
    assert not scene.client.asked
    scene.loop.advance(0.2)
    assert len(scene.client.asked) == 1


def test_a_pool_whose_quota_is_used_up_for_the_day_is_given_up_until_the_next_run(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=5, limit=1)
    scene.fail(0, call_error(RateLimitedError, retry_after_s=40_000.0))
    assert scene.has_ended
    assert scene.client.total == 1
    assert scene.progress.failed.total() == 0
    assert scene.progress.left.total() == 15


@pytest.mark.parametrize("reason", ["unauthorized", "payment_required", "model_unknown"])
def test_a_failure_that_would_meet_every_call_is_met_once_and_stored_nowhere(
    open_scene: OpenScene, reason: str
) -> None:
    scene = open_scene(drafts=10, limit=1)
    scene.fail(0, call_error(RefusedError, reason))
    assert scene.has_ended
    assert scene.client.total == 1
    assert not scene.writer.stored
    assert scene.progress.failed.total() == 0
    assert scene.progress.left.total() == 30
    assert {error.reason for error in scene.scheduler.failed.values()} == {reason}


def test_a_halted_pool_ends_a_run_of_any_length(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=200, limit=1)
    scene.fail(0, call_error(RefusedError, "unauthorized"))
    assert scene.has_ended
    assert scene.client.total == 1
    assert scene.progress.left.total() == 600


def test_a_run_of_any_length_ends_when_none_of_its_prompts_can_be_made(open_scene: OpenScene) -> None:
    members = [member for member in make_members(200) if member.stage is Stage.ESSAY]  # without their drafts
    scene = open_scene(plan=build_plan(members, lambda _: MISSING_STATE), limit=1)
    assert scene.has_ended
    assert scene.client.total == 0
    assert scene.progress.failed == {Stage.ESSAY: 200}


def test_a_refusal_of_one_prompt_is_stored_and_the_others_go_on(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=2, limit=1)
    scene.fail(0, call_error(RefusedError, "content_policy"))
    scene.finish()
    assert scene.progress.failed == {Stage.DRAFT: 1}
    assert scene.progress.blocked == {Stage.ESSAY: 1, Stage.EVALUATION: 1}
    assert scene.progress.made.total() == 3
    failures = [entry.outcome.raw_metadata["failure"] for entry in scene.writer.stored.values() if entry.outcome]
    assert [failure["reason"] for failure in failures if failure] == ["content_policy"]


def test_a_dead_endpoint_is_given_up_after_the_attempts_of_one_generation(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=20, limit=1)
    for _ in range(200):
        if scene.has_ended:
            break
        while scene.client.asked:
            scene.fail(0, call_error(TransportError, "connection"))
        scene.loop.advance(200.0)
    assert scene.has_ended
    assert scene.client.total < 20 * 6


def test_a_cut_off_answer_is_kept_and_blocks_what_follows_from_it(open_scene: OpenScene) -> None:
    scene = open_scene()
    scene.answer(finish_reason="length")
    assert scene.has_ended
    (entry,) = scene.writer.stored.values()
    assert entry.outcome is not None
    assert entry.outcome.text
    assert entry.outcome.parsed is None
    assert scene.progress.failures == {(Stage.DRAFT, "truncated"): 1}
    assert scene.progress.blocked.total() == 2


def test_stopping_finishes_what_is_under_way_and_leaves_the_rest(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=5, limit=2)
    scene.stop(RunInterruptedError("Stopping.", fix="Again."))
    assert not scene.has_ended
    scene.answer()
    scene.answer()
    assert scene.has_ended
    assert len(scene.writer.stored) == 2
    assert scene.progress.made.total() == 2
    assert scene.progress.left.total() == 13
    assert set(scene.scheduler.failed) == scene.members.keys() - scene.writer.stored.keys()
    assert {error.reason for error in scene.scheduler.failed.values()} == {"interrupted"}


def test_stopping_while_everything_waits_ends_at_once(open_scene: OpenScene) -> None:
    scene = open_scene(limit=1)
    scene.fail(0, call_error(TransportError, "server_error"))
    scene.stop(RunInterruptedError("Stopping.", fix="Again."))
    assert scene.has_ended
    assert scene.progress.left.total() == 3


def test_when_the_disk_refuses_each_task_is_counted_once_and_no_further_call_is_sent(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=4, limit=2)
    scene.writer.refusal = StoreError("The disk is full.", fix="Free some.")
    scene.answer()
    scene.answer()
    assert scene.has_ended
    assert scene.client.total == 2
    assert scene.progress.failed.total() == 2
    assert scene.ended == scene.plan.size
    assert scene.scheduler.stopped is scene.writer.refusal


def test_a_bug_in_a_client_is_raised_after_everything_under_way_was_stored(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=3, limit=2)
    scene.fail(0, ZeroDivisionError("a bug"))
    assert not scene.has_ended
    scene.answer()
    assert isinstance(scene.error, ZeroDivisionError)
    assert len(scene.writer.stored) == 1
    assert not scene.open_calls()


def test_a_run_that_is_given_up_closes_its_calls_as_unknown(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=3, limit=2)
    scene.task.cancel()
    scene.loop.settle()
    assert scene.has_ended
    assert [row.reason for row in scene.writer.rows.values()] == ["given_up", "given_up"]


def test_a_copied_essay_costs_no_call_and_no_room(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=1, limit=1, essay_generator="copy")
    scene.answer()
    assert stages_asked(scene) == ["evaluation"]
    scene.answer()
    assert scene.progress.made == {Stage.DRAFT: 1, Stage.ESSAY: 1, Stage.EVALUATION: 1}
    assert scene.client.total == 2


def test_two_pools_do_not_wait_for_each_other(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=4, limit=1, pools={"writer": Pool("writer", 1), "judge": Pool("judge", 1)})
    for _ in range(3):
        scene.answer()
    assert sorted(stages_asked(scene)) == ["essay", "evaluation"]


def test_a_reached_budget_leaves_the_rest_to_do(open_scene: OpenScene, tmp_path: Path) -> None:
    ledger = Ledger(DataPaths(tmp_path))
    budget = Budget(ledger, "owner", build_scopes("run-test", "cohort-test"), BudgetLimits(usd=300 * PRICE))
    scene = open_scene(drafts=5, limit=5, budget=budget)
    while scene.client.asked:
        scene.answer(tokens=40)
    assert scene.has_ended
    assert scene.scheduler.stopped is not None
    assert scene.scheduler.stopped.reason == "budget"
    assert 1 <= len(scene.writer.stored) < 15
    assert scene.progress.left.total() == 15 - len(scene.writer.stored)
    assert scene.spent_or_reserved_usd() <= 300 * PRICE
    ledger.close()


def test_a_dead_connection_counts_as_unknown_spend_and_a_clear_refusal_as_none(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=3, limit=3)
    scene.fail(0, call_error(TransportError, "timeout"))
    scene.fail(0, call_error(TransportError, "overloaded"))
    scene.fail(0, call_error(TransportError, "unreachable"))
    assert sorted((row.state, row.reason) for row in scene.writer.rows.values()) == [
        ("failed", "overloaded"),
        ("failed", "unreachable"),
        ("unknown", "timeout"),
    ]


def test_calls_that_wait_for_a_batch_are_counted_until_they_end(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=3, limit=3, kind="openrouter_batch")
    assert (scene.progress.in_flight, scene.progress.in_batches) == (3, 3)
    scene.fail(0, RefusedError("No.", fix="Ask again.", reason="bad_request"))
    scene.fail(1, TransportError("Gone.", fix="Wait.", reason="connection"))
    assert scene.progress.in_batches == 1
    while scene.client.asked:
        scene.answer()
    assert scene.progress.in_batches == 0


def test_only_calls_in_batches_are_waited_for_without_an_end_in_sight(open_scene: OpenScene) -> None:
    scene = open_scene(drafts=3, limit=3)
    assert scene.progress.in_flight == 3
    assert scene.progress.in_batches == 0
