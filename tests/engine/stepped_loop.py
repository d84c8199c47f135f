"""An event loop whose clock stands still until the test moves it."""

from __future__ import annotations

import asyncio
import heapq


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready when it is told to, and fires timers only when `advance` reaches them."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0

    def time(self) -> float:
        return self._now

    def settle(self) -> None:
        """Runs until nothing can happen any more without time passing or somebody answering."""
        self.call_soon(self.stop)
        self.run_forever()
        while self._ready:  # type: ignore[attr-defined]
            self.call_soon(self.stop)
            self.run_forever()

    def advance(self, seconds: float) -> None:
        """Lets time pass, timer by timer."""
        target = self._now + seconds
        self.settle()
        while (when := self._next_timer()) is not None and when <= target:
            self._now = max(self._now, when)
            self.settle()
        self._now = target
        self.settle()

    def _next_timer(self) -> float | None:
        timers = [timer for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
        return heapq.nsmallest(1, (timer.when() for timer in timers))[0] if timers else None
