"""What a script is told about how a command ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daydreaming_dagster.engine.run_board import RunBoard

EXIT_OK, EXIT_ERROR, EXIT_USAGE, EXIT_INCOMPLETE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


def find_exit_code(board: RunBoard) -> int:
    """The exit code for a bulk run."""
    report, plan = board.report, board.plan
    if board.results:
        failed = [result for results in board.results.values() for result in results if result.error is not None]
        return EXIT_INCOMPLETE if failed or board.waiting else EXIT_OK
    if report is None or plan is None:
        return EXIT_ERROR
    if report.stopped is not None:
        return {"interrupted": EXIT_INTERRUPTED, "budget": EXIT_INCOMPLETE}.get(report.stopped.reason, EXIT_ERROR)
    incomplete = report.progress.unfinished + len(plan.held) + len(plan.blocked)
    return EXIT_INCOMPLETE if incomplete else EXIT_OK
