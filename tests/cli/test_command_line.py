"""The command line as a whole: how fast it starts, what it loads, how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.experiments.rated_root import RatedRoot, score
from tests.guide.command_line import find_unknown_words

from daydreaming_dagster import __version__
from daydreaming_dagster.cli.main import COMMANDS, main
from daydreaming_dagster.domain.errors import StoreError

HEAVY = ("dagster", "polars", "aiohttp", "jinja2", "numpy", "rich", "starlette")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RatedRoot:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    for name in ("DD_COHORT", "DD_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return RatedRoot(tmp_path)


def end(*words: str) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def test_help_loads_nothing_that_takes_its_time() -> None:
    code = (
        "import sys; from daydreaming_dagster.cli.main import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "loaded: []" in told
    for heading, commands in COMMANDS.items():
        assert f"{heading}:" in told
        for command in commands:
            assert command.__name__.replace("_", "-") in told


def test_the_example_of_each_command_names_it_and_options_that_it_has() -> None:
    for commands in COMMANDS.values():
        for command, example in commands.items():
            assert example.split()[:2] == ["daydreaming", command.__name__.replace("_", "-")]
            assert find_unknown_words(example) == []


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert end("--version") == 0
    assert capsys.readouterr().out == f"daydreaming {__version__}\n"


def test_shells_can_complete_commands() -> None:
    words = {"_DAYDREAMING_COMPLETE": "complete_bash", "COMP_WORDS": "daydreaming st", "COMP_CWORD": "1"}
    told = subprocess.run(
        [str(Path(sys.executable).with_name("daydreaming"))],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert set(told.split()) == {"status", "stale"}


@pytest.mark.parametrize(
    "words",
    [
        ["status"], ["status", "--json"], ["status", "--ids"], ["show", "{draft}"], ["doctor"], ["check"],
        ["plan"], ["purge", "mine"], ["aggregate-scores", "--dry-run"], ["init", "elsewhere"],
    ],
    ids=lambda words: words[0] + "".join(words[1:2]).lstrip("{draft}"),
)  # fmt: skip
def test_looking_at_a_store_does_not_load_dagster(root: RatedRoot, words: list[str]) -> None:
    members = root.run(lambda _: score(5), cohort="mine")
    words = [word.format(draft=members[0].gen_id) for word in words]
    code = (
        "import sys; from daydreaming_dagster.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as ended: code = ended.code\n"
        "print('dagster' in sys.modules, file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert told.stderr.strip().endswith("False"), told.stderr


def test_an_error_is_a_sentence_and_a_fix_and_one(root: RatedRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert end("status") == 1
    told = capsys.readouterr().err
    assert told.startswith("Error: There is no cohort")
    assert 'daydreaming materialize --select "cohort_id,cohort_membership"' in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DD_K_MAX", "abc"), ("DD_DRAFT_TEMPERATURE", "hot"), ("DD_EXECUTOR", "foo"),
        ("DD_EVALUATION_MAX_TOKENS", "-3"), ("DD_DESCRIPTION_LEVEL", "tiny"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_named_with_its_value(
    root: RatedRoot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert end("plan") == 2
    assert f"The setting {variable} cannot be {value!r}: " in capsys.readouterr().err


def test_debug_shows_where_an_error_came_from(root: RatedRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_DEBUG", "")  # so that what the option sets is taken back
    with pytest.raises(StoreError):
        main(["--debug", "show", "e_nobody"])


@pytest.mark.parametrize(
    "words",
    [
        ["no-such-command"],
        ["show"],
        ["status", "--no-such-option"],
        ["purge", "mine", "--yes", "--dry-run"],
        ["select-top", "--mode", "anything"],
        ["select-top", "--fill-up"],
    ],
)
def test_wrong_usage_is_two(root: RatedRoot, words: list[str]) -> None:
    root.build("mine")
    assert end(*words) == 2


def test_a_data_root_can_be_named_before_the_command(
    root: RatedRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root.build("mine")
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "nowhere")
    assert end("--data-root", str(tmp_path / "data"), "status") == 3
    assert "mine" in capsys.readouterr().out


def test_keys_and_settings_are_read_from_the_file_in_the_working_directory(
    root: RatedRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "x")
    monkeypatch.delenv("OPENROUTER_API_KEY")
    (tmp_path / ".env").write_text("OPENROUTER_API_KEY=sk-of-a-test\n")
    end("doctor", "--offline")
    assert "OPENROUTER_API_KEY is set" in capsys.readouterr().out
