"""The pacer against simulated servers: what it learns, and what its learning costs."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daydreaming_dagster.engine.pacing import Pacer, Window


class WindowServer:
    """Allows so many requests in any stretch of time, says when the next fits, and remembers what it did."""

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit, self.window_s = limit, window_s
        self.accepted: deque[float] = deque()
        self.answered = self.refused = 0

    def ask(self, now: float) -> float | None:
        """None when the request is accepted, else `Retry-After`."""
        while self.accepted and self.accepted[0] <= now - self.window_s:
            self.accepted.popleft()
        if len(self.accepted) >= self.limit:
            self.refused += 1
            return self.accepted[0] + self.window_s - now
        self.accepted.append(now)
        self.answered += 1
        return None


def simulate(server: WindowServer, pacer: Pacer, latency_s: float, duration_s: float, now: float = 0.0) -> None:
    """Sends as fast as the pacer allows; refusals come back at once, answers after the latency."""
    in_flight = 0
    duration_s += now
    ends: list[tuple[float, float, float | None]] = []
    while now < duration_s:
        while ends and ends[0][0] <= now:
            _, sent_at, retry_after_s = heapq.heappop(ends)
            in_flight -= 1
            if retry_after_s is None:
                pacer.note_answered()
            else:
                pacer.note_refused(now, sent_at, retry_after_s)
        delay_s = pacer.find_delay_s(now, in_flight)
        if delay_s == 0.0:
            now += 1e-5
            pacer.note_sent(now)
            in_flight += 1
            retry_after_s = server.ask(now)
            heapq.heappush(ends, (now + (latency_s if retry_after_s is None else 0.001), now, retry_after_s))
            continue
        moments = [ends[0][0]] if ends else []
        if delay_s is not None:
            moments.append(now + delay_s + 1e-6)
        now = min(moments)


@pytest.mark.parametrize(("limit", "window_s"), [(600, 60.0), (60, 60.0), (10, 1.0), (5000, 3600.0)])
@pytest.mark.parametrize("concurrent", [4, 64])
def test_an_unknown_limit_is_found_and_used_to_the_full_with_few_refusals(
    limit: int, window_s: float, concurrent: int
) -> None:
    server = WindowServer(limit, window_s)
    latency_s = min(0.2, 0.5 * concurrent * window_s / limit)
    simulate(server, Pacer(concurrent), latency_s, 20 * window_s)
    assert server.answered >= 0.95 * 20 * limit
    assert server.refused <= max(0.01 * server.answered, concurrent)


def test_a_limit_that_was_raised_is_found_again() -> None:
    server = WindowServer(60, 60.0)
    pacer = Pacer(64)
    simulate(server, pacer, 0.2, 300.0)
    assert server.answered <= 60 * 5
    server.limit, before = 120, server.answered
    simulate(server, pacer, 0.2, 6000.0, now=300.0)
    assert server.answered - before > 1.5 * 60 * 100


def test_the_window_shrinks_once_for_all_calls_that_were_sent_before() -> None:
    window = Window(100)
    for sent_at in (1.0, 2.0, 3.0):
        window.shrink(10.0, sent_at)
    assert window.size == 70
    window.shrink(12.0, 11.0)
    assert window.size == 49


def test_the_window_grows_back_while_answers_come() -> None:
    window = Window(10)
    window.shrink(1.0, 0.0)
    for _ in range(60):
        window.grow()
    assert window.size == 10


def ask_in_rounds(pacer: Pacer, rounds: int, is_turned_away: Callable[[int], bool]) -> list[int]:
    """Sends as many calls as may be under way, round by round; how many these were, and which end overloaded."""
    sizes = []
    for start in map(float, range(rounds)):
        size = pacer.window.size
        for place in range(size):
            if is_turned_away(place):
                pacer.note_overloaded(start + 0.9, start, None)
            else:
                pacer.note_answered()
        sizes.append(size)
    return sizes


def test_a_server_that_turns_away_a_few_whatever_is_under_way_is_still_asked_by_all() -> None:
    dice = random.Random(1)
    sizes = ask_in_rounds(Pacer(64), 200, lambda _: dice.random() < 0.05)
    assert sum(sizes) > 0.9 * 64 * 200


@pytest.mark.parametrize("room", [1, 10, 40])
def test_the_room_of_a_server_that_turns_away_what_is_too_much_is_found(room: int) -> None:
    sizes = ask_in_rounds(Pacer(64), 200, lambda place: place >= room)
    settled = sizes[50:]
    assert room * 0.8 <= sum(settled) / len(settled) <= room * 1.25 + 1


def test_a_server_that_says_when_is_believed() -> None:
    pacer = Pacer(5)
    pacer.note_sent(0.0)
    pacer.note_refused(0.1, 0.0, 30.0)
    assert pacer.find_delay_s(0.2, 0) == pytest.approx(29.9)
    assert pacer.find_delay_s(30.2, 0) == 0.0


def test_refusals_without_a_time_double_the_pause_until_an_answer_comes() -> None:
    pacer = Pacer(5)
    now, pauses = 0.0, []
    for _ in range(4):
        pacer.note_sent(now)
        pacer.note_refused(now, now, None)
        pause = pacer.find_delay_s(now, 0)
        assert pause is not None
        pauses.append(pause)
        now += pause + 0.01
    assert pauses == pytest.approx([1.0, 2.0, 4.0, 8.0])
    pacer.note_answered()
    pacer.note_sent(now)
    pacer.note_refused(now, now, None)
    assert pacer.find_delay_s(now, 0) == pytest.approx(1.0)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 100.0), st.sampled_from(["sent", "answered", "refused", "overloaded"]),
                  st.one_of(st.none(), st.floats(0.0, 1e6))),
        max_size=80,
    )
)  # fmt: skip
@settings(deadline=None)
def test_whatever_a_server_does_the_pacer_lets_a_call_go_some_time(
    steps: list[tuple[float, str, float | None]],
) -> None:
    pacer, now = Pacer(7), 0.0
    for passed_s, what, retry_after_s in steps:
        now += passed_s
        if what == "sent":
            pacer.note_sent(now)
        elif what == "answered":
            pacer.note_answered()
        elif what == "refused":
            pacer.note_refused(now, now, retry_after_s)
        else:
            pacer.note_overloaded(now, now, retry_after_s)
        assert 1 <= pacer.window.size <= 7
    for _ in range(200):
        delay_s = pacer.find_delay_s(now, 0)
        assert delay_s is not None
        assert delay_s <= 1e6 + 86_400.0
        if delay_s == 0.0:
            return
        now += delay_s + 1e-3
    raise AssertionError("it never lets a call go")
