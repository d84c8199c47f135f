"""Ctrl-C, a polite request to end (SIGTERM) and a terminal that was closed (SIGHUP) all mean: end, and lose nothing."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_Handler = Callable[[int, FrameType | None], None]


@contextmanager
def one_way_to_end() -> Iterator[None]:
    """Passes the other signals on as Ctrl-C, to whatever listens for that at the moment.

    What the caller set to be ignored stays so: SIGHUP under `nohup`, Ctrl-C in the background of a script.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[signal.Signals, _Handler] = {signal.SIGTERM: _end_as_after_ctrl_c}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        handlers[signal.SIGHUP] = _build_end_without_terminal()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_as_after_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _build_end_without_terminal() -> _Handler:
    on_terminal = [descriptor for descriptor in range(3) if os.isatty(descriptor)]  # later they no longer say so

    def end(_number: int, _frame: FrameType | None) -> None:
        # What is still to be said can be said to nobody, and must not fail for that.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in on_terminal:
            os.dup2(nowhere, descriptor)
        signal.raise_signal(signal.SIGTERM)

    return end
