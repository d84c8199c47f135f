"""Every run ends, and every task once, whatever its collaborators do: they refuse, break, stall and halt here."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.scene import GOOD_TEXT, HandClient, Scene, call_error, make_members

from daydreaming_dagster.domain.catalogue import Pool
from daydreaming_dagster.domain.errors import (
    DayDreamingError,
    RateLimitedError,
    RefusedError,
    RunInterruptedError,
    StoreError,
    TransportError,
)
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.engine.claims import Claimed
from daydreaming_dagster.engine.plan import Action, Task
from daydreaming_dagster.engine.quota import build_quota_error
from daydreaming_dagster.llm.protocol import ChatResponse, Usage

ERRORS = {
    "bug": ZeroDivisionError("a bug in a collaborator"),
    "disk": StoreError("The disk is full.", fix="Free some."),
}
PLACES = {
    "maker": ("is_local", "prepare", "judge", "judge_error", "keep_at_hand"),
    "clients": ("client",),
    "writer": ("commit", "trouble", "backlog"),
    "book": ("compute_worst_case", "try_reserve", "open", "close_answered", "close_failed", "record"),
    "claims": ("claim", "end"),
    "room": ("open", "try_take", "release", "give_back", "close"),
}
FAULTS = st.dictionaries(
    st.sampled_from([f"{name}.{method}" for name, methods in PLACES.items() for method in methods]),
    st.tuples(st.integers(0, 120), st.integers(1, 3), st.sampled_from(sorted(ERRORS))),
    max_size=3,
)
"""By place: after how many times something goes wrong there, how often, and how."""

ANSWERS: dict[str, BaseException | None] = {
    "good": None,
    "unusable": None,
    "busy": call_error(RateLimitedError, retry_after_s=20.0),
    "quota": call_error(RateLimitedError, retry_after_s=7200.0),
    "overloaded": call_error(TransportError, "overloaded"),
    "gone": call_error(TransportError, "connection"),
    "key": call_error(RefusedError, "unauthorized"),
    "model": call_error(RefusedError, "model_unknown"),
    "content": call_error(RefusedError, "content_policy"),
    "bug": ZeroDivisionError("a bug in a client"),
    "cancelled": asyncio.CancelledError(),
}
_MOSTLY_GOOD = ["good"] * 12 + [kind for kind in ANSWERS if kind != "good"]


class Faulty:
    """A collaborator that does what it is for, except at the moments that were chosen."""

    def __init__(
        self, name: str, collaborator: Any, faults: dict[str, tuple[int, int, str]], uses: Counter[str]
    ) -> None:
        self._name, self._collaborator, self._faults, self._uses = name, collaborator, faults, uses

    def __getattr__(self, method: str) -> Any:
        place = f"{self._name}.{method}"
        first, often, kind = self._faults.get(place, (0, 0, "bug"))
        self._uses[place] += 1
        if first < self._uses[place] <= first + often:
            raise ERRORS[kind]
        return getattr(self._collaborator, method)


class HandRoom:
    """A limit shared with others, who have room now and then."""

    def __init__(self, pool: Pool, delays: Sequence[float]) -> None:
        self._pool = pool
        self._delays = itertools.cycle(delays)

    def try_take(self, tokens: int) -> float:
        return next(self._delays)

    def explain_wait(self, delay_s: float) -> RateLimitedError:
        return build_quota_error(self._pool, delay_s, None)

    def release(self) -> None:
        """Nothing is kept."""

    give_back = close = release

    def open(self) -> None:
        """Nothing to open."""


class HandClaims:
    """Other processes, that hold, do or give up a tree."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = itertools.cycle(kinds)

    def claim(self, roots: Sequence[Task], retry: Collection[str]) -> Claimed:
        claimed = Claimed()
        for root in roots:
            match next(self._kinds):
                case "refused":
                    claimed.refused.append(root)
                case "done":
                    claimed.done.append(root)
                    claimed.ready.extend(root.children)
                case "held":
                    claimed.held.append((root, "parse_failed"))
                case "answered":
                    root.action = Action.PARSE
                    claimed.ready.append(root)
                case _:
                    claimed.ready.append(root)
        return claimed

    def end(self, task: Task) -> None:
        """Nothing is kept."""


def drive(scene: Scene, answers: Sequence[str], stop_at: int | None, give_up_at: int | None) -> None:
    """Plays models, time and user until the run has ended."""
    kinds = itertools.cycle(answers)
    scene.start()
    for count in range(1_000):
        if count == 60:
            kinds = itertools.cycle(["good"])  # whatever it was, it has passed
        if scene.has_ended:
            return
        if count == stop_at:
            scene.stop(RunInterruptedError("Stopping.", fix="Run it again."))
        if count == give_up_at:
            scene.task.cancel()
            scene.loop.settle()
        answer_all(scene.client, kinds)
        scene.writer.flush()
        scene.loop.settle()
        if not scene.client.asked and not scene.has_ended:
            scene.loop.advance(30.0)
    raise AssertionError("the run does not end")


def answer_all(client: HandClient, kinds: itertools.cycle[str]) -> None:
    for asked in list(client.asked):
        kind = next(kinds)
        error = ANSWERS[kind]
        if kind == "cancelled":
            asked.future.cancel()
        elif error is not None:
            asked.future.set_exception(error)
        else:
            text = GOOD_TEXT if kind == "good" else ""
            asked.future.set_result(ChatResponse(text, "stop", response_id="r", usage=Usage(5, 5)))


@given(
    trees=st.one_of(st.integers(1, 4), st.integers(90, 140)),
    shape=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    writers=st.integers(1, 9),
    judges=st.one_of(st.none(), st.integers(1, 9)),
    copies=st.booleans(),
    claims=st.lists(st.sampled_from(["mine", "mine", "refused", "done", "held", "answered"]), min_size=1, max_size=5),
    delays=st.lists(st.sampled_from([0.0, 0.0, 0.0, 2.0, 5000.0]), max_size=5),
    answers=st.lists(st.sampled_from(_MOSTLY_GOOD), min_size=1, max_size=60),
    faults=FAULTS,
    slow_disk=st.booleans(),
    stop_at=st.one_of(st.none(), st.integers(0, 30)),
    give_up_at=st.one_of(st.none(), st.none(), st.integers(0, 30)),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_run_ends_and_every_task_once(
    trees: int,
    shape: tuple[int, int],
    writers: int,
    judges: int | None,
    copies: bool,
    claims: list[str],
    delays: list[float],
    answers: list[str],
    faults: dict[str, tuple[int, int, str]],
    slow_disk: bool,
    stop_at: int | None,
    give_up_at: int | None,
) -> None:
    pools = {"writer": Pool("writer", writers)} | ({} if judges is None else {"judge": Pool("judge", judges)})
    uses: Counter[str] = Counter()

    def wrap(name: str, collaborator: Any) -> Any:
        return Faulty(name, collaborator, faults, uses)

    def open_room(pool: Pool) -> Any:
        room = wrap("room", HandRoom(pool, [*delays, 0.0]))
        room.open()
        return room

    if set(claims) == {"refused"}:
        claims = [*claims, "mine"]  # who never gives a tree up has to end first
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(
            Path(folder),
            make_members(trees, *shape),
            pools,
            essay_generator="copy" if copies else "llm",
            claims=HandClaims(claims),
            open_room=open_room if delays else None,
            wrap=wrap,
        )
        scene.writer.is_slow = slow_disk
        tasks = [task for root in scene.plan.ready for task in root.walk()]
        try:
            drive(scene, answers, stop_at, give_up_at)
            assert all(task.has_ended for task in tasks)
            assert scene.ended == len(tasks) == scene.plan.size
            assert scene.error is None or scene.error in (*ERRORS.values(), *ANSWERS.values())
            assert not isinstance(scene.error, DayDreamingError), "the disk's troubles stop a run and do not break it"
        finally:
            scene.close()


def test_what_failed_for_good_in_another_process_has_failed_here_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path, make_members(2, 1, 1), {"writer": Pool("writer", 2)}, claims=HandClaims(["held"]))
    try:
        drive(scene, [], None, None)
        assert scene.progress.failures == {(Stage.DRAFT, "parse_failed"): 2}
        assert (scene.progress.failed.total(), scene.progress.blocked.total()) == (2, 4)
        assert not scene.progress.elsewhere
    finally:
        scene.close()
