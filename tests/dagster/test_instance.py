from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterInvalidConfigError
from dagster._cli import cli
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy.exc import IntegrityError

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.resources.event_log import BatchedSqliteEventLogStorage
from daydreaming_dagster.resources.instance import DayDreamingInstance, parse_pool_limits, read_pool_limits

from .homes import SHIPPED_CONFIGURATION, add_run, open_shipped_home

# As the operating guide prints it.
GUIDE_BLOCK = """
concurrency:
  pools:
    llm_api_free:
      max_concurrent: 1
    llm_api_paid:
      max_concurrent: 5
"""


@pytest.fixture(autouse=True)
def batch_size_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance sets this variable for its process; here each test starts without it, and leaves none behind."""
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")


def test_the_shipped_configuration_loads_without_limits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_shipped_home(home, monkeypatch) as instance:
        assert type(instance) is DayDreamingInstance
        assert type(instance.event_log_storage) is BatchedSqliteEventLogStorage
        assert read_pool_limits(instance) == {}
        assert not instance.telemetry_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] == 60
        run_queue = instance.get_concurrency_config().run_queue_config
        assert run_queue is not None
        assert run_queue.max_concurrent_runs == 4


def test_everything_the_shipped_configuration_stores_lies_in_dagster_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_shipped_home(tmp_path / "home", monkeypatch) as instance:
        add_run(instance)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    databases = {str(path.relative_to(tmp_path / "home")) for path in (tmp_path / "home").rglob("*.db")}
    assert databases >= {"history/runs.db", "history/runs/index.db", "schedules/schedules.db"}


def test_a_home_that_was_moved_keeps_its_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_shipped_home(home, monkeypatch) as instance:
        run = add_run(instance)
    moved = home.rename(home.with_name("moved"))
    with open_shipped_home(moved, monkeypatch) as instance:
        assert instance.get_run_by_id(run.run_id) == run
    assert not home.exists()


def test_dagster_home_may_be_written_with_a_tilde(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home.parent))
    with open_shipped_home(home, monkeypatch) as instance:
        run = add_run(instance)
    monkeypatch.setenv("DAGSTER_HOME", f"~/{home.name}")
    monkeypatch.chdir(home.parent)
    with DagsterInstance.get() as instance:
        assert instance.get_run_by_id(run.run_id) == run
    assert not Path("~").exists()


def test_the_blocks_of_the_guide_and_of_the_shipped_file_mean_the_same_pools() -> None:
    shipped = SHIPPED_CONFIGURATION.read_text()
    commented = shipped[shipped.index("#  pools:") :].split("\n\n")[0].replace("#", "")
    assert yaml.safe_load(commented) == yaml.safe_load(GUIDE_BLOCK)["concurrency"]


def test_the_guides_block_sets_the_limits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_shipped_home(home, monkeypatch, GUIDE_BLOCK) as instance:
        assert read_pool_limits(instance) == {"llm_api_free": 1, "llm_api_paid": 5}


def test_the_guides_block_beside_the_settings_that_dagster_knows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added = GUIDE_BLOCK + "    default_limit: 7\n    granularity: run\n"
    with open_shipped_home(home, monkeypatch, added) as instance:
        assert read_pool_limits(instance) == {"llm_api_free": 1, "llm_api_paid": 5}
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 7
        assert pools.pool_granularity is not None
        assert pools.pool_granularity.value == "run"


def test_a_limit_changed_in_the_file_is_changed_and_one_removed_stays(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_shipped_home(home, monkeypatch, GUIDE_BLOCK) as instance:
        instance.event_log_storage.set_concurrency_slots("set_by_hand", 9)
    changed = "concurrency: {pools: {llm_api_free: {max_concurrent: 2}}}\n"
    with open_shipped_home(home, monkeypatch, changed) as instance:
        assert read_pool_limits(instance) == {"llm_api_free": 2, "llm_api_paid": 5, "set_by_hand": 9}


def test_the_dagster_command_shows_the_limits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_shipped_home(home, monkeypatch, GUIDE_BLOCK):
        pass
    shown = CliRunner().invoke(cli, ["instance", "concurrency", "get", "--all"], catch_exceptions=False)
    assert '"llm_api_free": 0 / 1 slots occupied' in shown.output
    assert '"llm_api_paid": 0 / 5 slots occupied' in shown.output


@pytest.mark.slow
def test_a_process_that_is_handed_the_instance_gets_the_same_class(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_shipped_home(home, monkeypatch, GUIDE_BLOCK) as instance:
        reference = instance.get_ref()
    with DagsterInstance.from_ref(type(reference).from_dict(reference.to_dict())) as rebuilt:
        assert type(rebuilt) is DayDreamingInstance
    done = subprocess.run(
        [Path(sys.executable).with_name("dagster"), "instance", "info"],
        env={**os.environ, "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "event_log_storage: BatchedSqliteEventLogStorage" in done.stdout


@pytest.mark.parametrize(
    "entry", [1, None, {}, {"max_concurrent": -1}, {"max_concurrent": "2"}, {"max_concurrent": True}, {"limit": 2}]
)
def test_an_entry_that_is_no_limit_is_refused_by_name(entry: object) -> None:
    with pytest.raises(ConfigurationError, match="llm_api_free") as refused:
        parse_pool_limits({"pools": {"llm_api_free": entry}})
    assert "max_concurrent: 1" in refused.value.fix


def test_a_setting_misspelled_beside_the_pools_is_still_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    misspelled = "concurrency: {run: {max_concurrent_runs: 1}}\n"
    with pytest.raises(DagsterInvalidConfigError, match="run"), open_shipped_home(home, monkeypatch, misspelled):
        pass


def test_two_processes_that_start_together_may_both_set_a_limit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_slots = SqliteEventLogStorage.set_concurrency_slots

    def come_second(self: SqliteEventLogStorage, pool: str, limit: int) -> None:
        set_slots(self, pool, limit)
        raise IntegrityError("INSERT", None, Exception("UNIQUE constraint failed"))

    monkeypatch.setattr(SqliteEventLogStorage, "set_concurrency_slots", come_second)
    with open_shipped_home(home, monkeypatch, GUIDE_BLOCK) as instance:
        assert read_pool_limits(instance) == {"llm_api_free": 1, "llm_api_paid": 5}


def test_a_limit_that_could_not_be_set_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: SqliteEventLogStorage, pool: str, limit: int) -> None:
        raise IntegrityError("INSERT", None, Exception("constraint failed"))

    monkeypatch.setattr(SqliteEventLogStorage, "set_concurrency_slots", fail)
    with pytest.raises(IntegrityError), open_shipped_home(home, monkeypatch, GUIDE_BLOCK):
        pass


def test_events_are_handed_on_in_batches_unless_somebody_chose_otherwise(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_shipped_home(home, monkeypatch):
        assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "500"
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "3")
    with open_shipped_home(home, monkeypatch):
        assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "3"


OPEN = """
from pathlib import Path
from daydreaming_dagster.resources.dagster_home import open_instance
with open_instance(Path("home")) as instance:
    print(instance.get_runs_count())
"""


@pytest.mark.slow
def test_a_new_home_may_be_opened_by_several_processes_at_the_same_time(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    ends = [(process.communicate(timeout=300), process.returncode) for process in processes]
    assert [code for _, code in ends] == [0] * 4, b"".join(error for (_, error), _ in ends).decode()[-3000:]
    assert [said.strip() for (said, _), _ in ends] == [b"0"] * 4
