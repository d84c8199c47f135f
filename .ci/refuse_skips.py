"""A pytest plugin for CI: a run in which anything was skipped, or expected to fail, has failed."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a green run with skipped tests into a red one."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker of pytest-xdist: the controller decides
        return
    avoided = [report for outcome in ("skipped", "xfailed") for report in reporter.stats.get(outcome, [])]
    if avoided and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(avoided)} tests did not run to their end; CI counts that as a failure.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
