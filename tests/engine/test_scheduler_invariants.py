"""Whatever models, disk, budget and user do, in any order: the invariants of the scheduler hold and the run ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
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
from daydreaming_dagster.store.ledger import Ledger, build_scopes
from daydreaming_dagster.store.paths import DataPaths

WORST_TOKENS = 300  # of one call here: its prompt in bytes, 64 around it, 50 for the answer; never more
ERRORS = st.one_of(
    st.builds(call_error, st.just(RateLimitedError), retry_after_s=st.sampled_from([None, 0.5, 20.0, 7200.0])),
    st.builds(
        call_error,
        st.just(TransportError),
        st.sampled_from(["overloaded", "server_error", "timeout", "connection", "bad_response"]),
        st.sampled_from([None, 3.0]),
    ),
    st.builds(
        call_error,
        st.just(RefusedError),
        st.sampled_from(["unauthorized", "payment_required", "model_unknown", "content_policy", "bad_request"]),
    ),
)


class SchedulerMachine(RuleBasedStateMachine):
    """Plays models, disk and user against one run."""

    scene: Scene | None = None

    @initialize(
        drafts=st.integers(1, 4),
        essays=st.integers(1, 2),
        evaluations=st.integers(1, 2),
        writers=st.integers(1, 4),
        judges=st.one_of(st.none(), st.integers(1, 3)),
        copies=st.booleans(),
        budget_calls=st.one_of(st.none(), st.integers(0, 12)),
    )
    def begin(
        self,
        drafts: int,
        essays: int,
        evaluations: int,
        writers: int,
        judges: int | None,
        copies: bool,
        budget_calls: int | None,
    ) -> None:
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        pools = {"writer": Pool("writer", writers)}
        if judges is not None:
            pools["judge"] = Pool("judge", judges)
        self.limits = {pool.pool: pool.max_concurrent for pool in pools.values()}
        self.budget_usd = None if budget_calls is None else budget_calls * WORST_TOKENS * PRICE
        self.ledger = Ledger(DataPaths(folder))
        budget = None
        if self.budget_usd is not None:
            scopes = build_scopes("run-test", "cohort-test")
            budget = Budget(self.ledger, "owner", scopes, BudgetLimits(usd=self.budget_usd))
        self.scene = Scene(
            folder,
            make_members(drafts, essays, evaluations),
            pools,
            budget=budget,
            essay_generator="copy" if copies else "llm",
        )
        self.answered = 0
        self.scene.start()

    @precondition(lambda self: self.scene and self.scene.client.asked)
    @rule(
        position=st.integers(0, 100),
        kind=st.sampled_from(["good", "good", "good", "truncated", "unreadable", "empty"]),
        tokens=st.integers(1, 40),
    )
    def answer(self, position: int, kind: str, tokens: int) -> None:
        scene = self.require_scene()
        text = {"unreadable": "No score here.", "empty": ""}.get(kind, "Fine.\nSCORE: 5")
        finish_reason = "length" if kind == "truncated" else "stop"
        scene.answer(position % len(scene.client.asked), text, finish_reason, tokens)
        self.answered += 1

    @precondition(lambda self: self.scene and self.scene.client.asked)
    @rule(position=st.integers(0, 100), error=ERRORS)
    def fail(self, position: int, error: Exception) -> None:
        scene = self.require_scene()
        scene.fail(position % len(scene.client.asked), error)

    @precondition(lambda self: self.scene and self.scene.client.asked)
    @rule(position=st.integers(0, 100))
    def break_client(self, position: int) -> None:
        scene = self.require_scene()
        scene.fail(position % len(scene.client.asked), ZeroDivisionError("a bug in a client"))

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.require_scene().loop.advance(seconds)

    @rule(slow=st.booleans())
    def slow_disk(self, slow: bool) -> None:
        scene = self.require_scene()
        scene.writer.is_slow = slow
        if not slow:
            scene.writer.flush()
            scene.loop.settle()

    @rule()
    def disk_refuses(self) -> None:
        self.require_scene().writer.refusal = StoreError("The disk is full.", fix="Free some.")

    @rule()
    def disk_gets_scarce(self) -> None:
        self.require_scene().writer.trouble = StoreError("Little is free.", fix="Free some.", reason="disk_full")

    @rule()
    def stop(self) -> None:
        self.require_scene().stop(RunInterruptedError("Stopping.", fix="Run it again."))

    def require_scene(self) -> Scene:
        assert self.scene is not None
        return self.scene

    @invariant()
    def no_pool_is_over_its_limit(self) -> None:
        if self.scene is not None:
            peak = self.scene.client.peak
            if "judge" in self.limits:
                assert peak["writer"] <= self.limits["writer"]
                assert peak["judge"] <= self.limits["judge"]
            else:
                assert len(self.scene.client.asked) <= self.limits["writer"]

    @invariant()
    def every_call_was_written_down_before_it_was_sent_and_only_those_under_way_are_open(self) -> None:
        if self.scene is not None:
            assert len(self.scene.writer.noted) == self.scene.client.total
            assert len(self.scene.open_calls()) == len(self.scene.client.asked)

    @invariant()
    def no_child_was_asked_for_before_its_parent_was_stored(self) -> None:
        if self.scene is not None:
            for call_id in self.scene.writer.noted:
                parent = self.scene.members[self.scene.writer.rows[call_id].gen_id].parent_gen_id
                assert not parent or parent in self.scene.writer.stored

    @invariant()
    def the_budget_holds_at_every_moment(self) -> None:
        if self.scene is not None and self.budget_usd is not None:
            assert self.scene.spent_or_reserved_usd() <= self.budget_usd + 1e-9

    @invariant()
    def no_task_is_counted_twice(self) -> None:
        if self.scene is not None:
            assert self.scene.ended <= self.scene.plan.size

    def teardown(self) -> None:
        if self.scene is None:
            return
        scene = self.scene
        try:
            scene.finish()
            assert scene.ended == scene.plan.size
            for stage in Stage:
                assert scene.progress.ended(stage) == scene.progress.planned[stage]
            assert not scene.open_calls()
            answered = [row for row in scene.writer.rows.values() if row.state == "answered"]
            if scene.writer.refusal is None:
                stored = {entry.call.call_id for entry in scene.writer.stored.values() if entry.call is not None}
                assert {row.call_id for row in answered} <= stored
            if scene.error is not None:
                assert isinstance(scene.error, ZeroDivisionError)
        finally:
            scene.close()
            self.ledger.close()
            self.folder.cleanup()


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
