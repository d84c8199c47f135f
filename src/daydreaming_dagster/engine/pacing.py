"""How fast a pool may be asked, learned from how its server answers.

Two things are learned, because servers limit two things:

- how many calls at a time: a window that grows by one for every windowful of answers and shrinks when the server is
  overloaded (additive increase, multiplicative decrease: Chiu and Jain 1989, as TCP does it). A server that turns away
  a call now and then, however many are under way, is not overloaded by us: only a share of them says that it is;
- how many calls in a stretch of time: when a server refuses one and says when to come back, the length of its window
  follows from what was sent before, and the number allowed is what it accepted in that stretch. From then on no more
  are sent than that, but for a search upwards, now and then, in case the limit was raised.

Times are seconds of any steady clock, handed in by the caller.
"""

from __future__ import annotations

import math
from collections import deque

_SHRINK = 0.7
_BEARABLE_SHARE = 0.1
"""Of the last calls, weighted by their age, that an overloaded server turned away: with fewer the window stays."""
_WEIGHT_OF_LAST = 1 / 128
_NATURAL_WINDOWS_S = (1.0, 10.0, 60.0, 3600.0, 86400.0)
_LONGEST_MEMORY_S = 3600.0
_SEARCH_SHARE = 0.01
"""How much more than a learned limit is tried after some stretches without refusals; twice as much the next time."""
_LONGEST_PATIENCE = 64
"""Stretches between such searches, when the earlier ones were all refused."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


class Window:
    """How many calls may be under way.

    Args:
        most: upper bound, from the pool's row.
        start: where it begins; None for `most`.
    """

    def __init__(self, most: int, start: int | None = None) -> None:
        self._most = most
        self._size = float(min(most, start or most))
        self._shrunk_at = -math.inf

    @property
    def size(self) -> int:
        """Calls that may be under way, at least 1."""
        return int(self._size)

    def grow(self) -> None:
        """An answer came."""
        self._size = min(float(self._most), self._size + 1.0 / self._size)

    def shrink(self, now: float, sent_at: float) -> None:
        """The server is overloaded; calls sent before the last shrinking tell nothing new."""
        if sent_at > self._shrunk_at:
            self._size = max(1.0, self._size * _SHRINK)
            self._shrunk_at = now


class LearnedRate:
    """A limit on calls per stretch of time that a server never told.

    Attributes:
        limit: calls per `window_s`; None until a refusal showed it.
        window_s: length of the stretch, seconds.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self.window_s = 60.0
        self._sent: deque[float] = deque()
        self._search_at = math.inf
        self._step = _SEARCH_SHARE
        self._patience = 2

    def note_sent(self, now: float) -> None:
        """A call is sent."""
        self._sent.append(now)

    def note_refused(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        """The server refused the call that was sent at `sent_at`: it does not count, and those before it did."""
        if sent_at in self._sent:
            self._sent.remove(sent_at)
        accepted = [moment for moment in self._sent if moment <= sent_at]
        if retry_after_s is None or not accepted:
            return
        if self.limit is None:
            self.window_s = _nearest_window_s(now + retry_after_s - accepted[0])
        else:
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
        self._step = _SEARCH_SHARE
        count = sum(1 for moment in accepted if moment > sent_at - self.window_s)
        self.limit = max(1, count if self.limit is None else min(self.limit, count))
        self._search_at = now + self._patience * self.window_s

    def find_delay_s(self, now: float) -> float:
        """Seconds until the next call fits; 0.0 when it does."""
        keep_s = self.window_s if self.limit is not None else _LONGEST_MEMORY_S
        while self._sent and self._sent[0] <= now - keep_s:
            self._sent.popleft()
        if self.limit is None or len(self._sent) < self.limit:
            return 0.0
        if now >= self._search_at:
            if self._step > _SEARCH_SHARE:
                self._patience = 2  # the last search was not refused: there is more to be found
            self.limit += max(1, int(self.limit * self._step))
            self._step *= 2
            self._search_at = now + self._patience * self.window_s
            return 0.0
        return self._sent[len(self._sent) - self.limit] + self.window_s - now


class Pacer:
    """When the next call of a pool may be sent, as far as this process has learned it.

    Args:
        max_concurrent: the pool's own bound.
        start: calls at a time to begin with; None for the bound.
    """

    def __init__(self, max_concurrent: int, start: int | None = None) -> None:
        self.window = Window(max_concurrent, start)
        self.rate = LearnedRate()
        self._paused_until = -math.inf
        self._refusals = 0
        self._overloaded_share = 0.0

    def find_delay_s(self, now: float, in_flight: int) -> float | None:
        """Seconds until a call may be sent; 0.0 for at once, None for as soon as one of those under way has ended."""
        if in_flight >= self.window.size:
            return None
        return max(0.0, self._paused_until - now, self.rate.find_delay_s(now))

    def note_sent(self, now: float) -> None:
        """A call is sent."""
        self.rate.note_sent(now)

    def note_answered(self) -> None:
        """A call was answered."""
        self._overloaded_share *= 1 - _WEIGHT_OF_LAST
        self.window.grow()
        self._refusals = 0

    def note_refused(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        """The server said "too many requests"."""
        self.rate.note_refused(now, sent_at, retry_after_s)
        if retry_after_s is None:
            self.window.shrink(now, sent_at)
        self._pause(now, sent_at, retry_after_s)

    def note_overloaded(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        """The server is overloaded, whoever asked too much of it."""
        self._overloaded_share += (1 - self._overloaded_share) * _WEIGHT_OF_LAST
        if self._overloaded_share > _BEARABLE_SHARE:
            self.window.shrink(now, sent_at)
        if retry_after_s is not None:
            self._pause(now, sent_at, retry_after_s)

    def _pause(self, now: float, sent_at: float, retry_after_s: float | None) -> None:
        if retry_after_s is None:
            if sent_at < self._paused_until:
                return  # sent before the pause that an earlier refusal began
            retry_after_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._refusals)
            self._refusals = min(self._refusals + 1, 30)
        self._paused_until = max(self._paused_until, now + retry_after_s)


def _nearest_window_s(estimate_s: float) -> float:
    """The usual length that is nearest, in proportion."""
    return min(_NATURAL_WINDOWS_S, key=lambda window_s: abs(math.log(max(estimate_s, 1e-3) / window_s)))
