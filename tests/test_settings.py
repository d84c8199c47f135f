"""Settings: the shell before `.env` before the defaults; a value that cannot be is named."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from daydreaming_dagster.domain.errors import UsageError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.settings import Settings


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith(("DD_", "DAYDREAMING_", "GEN_"))]:
        monkeypatch.delenv(name)


def test_nothing_set_gives_the_defaults() -> None:
    settings = Settings()
    assert {each.name: getattr(settings, each.name) for each in fields(settings)} == {
        each.name: each.default for each in fields(settings)
    }
    assert settings.experiment_config().stages[Stage.ESSAY].max_tokens == 8192


def test_the_shell_goes_before_the_file_which_goes_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("DD_K_MAX=3\nDD_COHORT='from file'\nDAYDREAMING_DATA_ROOT=elsewhere\nDD_EMBEDDER\n")
    monkeypatch.setenv("DD_K_MAX", "4")
    settings = Settings()
    assert (settings.k_max, settings.cohort, settings.data_root) == (4, "from file", Path("elsewhere"))
    assert settings.embedder == "hashing"


def test_names_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("dd_essay_temperature", "1.5")
    assert Settings().experiment_config().stages[Stage.ESSAY].temperature == 1.5


@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("On", True), ("no", False), ("0", False)])
def test_a_flag_is_said_in_many_ways(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("DD_PEOPLE_JUDGE", text)
    assert Settings().people_judge is value


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("DD_K_MAX", "0", "it must be at least 1"),
        ("DD_K_MAX", "", "it is no whole number"),
        ("DD_DRAFT_MIN_LINES", "-1", "it must be at least 0"),
        ("DD_DRAFT_TEMPERATURE", "nan", "it must be at least 0"),
        ("DD_DRAFT_TEMPERATURE", "warm", "it is no number"),
        ("DD_PEOPLE_JUDGE", "perhaps", "it is neither true nor false"),
        ("DD_EXECUTOR", "cloud", "it must be one of in_process, multiprocess"),
    ],
)
def test_what_cannot_be_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, reason: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(UsageError) as caught:
        Settings()
    assert caught.value.what == f"The setting {variable} cannot be {text!r}: {reason}."


def test_what_was_read_stays_and_settings_alike_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Settings()
    assert first == Settings()
    with pytest.raises(AttributeError):
        first.k_max = 3  # type: ignore[misc]
    monkeypatch.setenv("DD_K_MAX", "3")
    assert first != Settings()
    assert repr(first) != repr(Settings())
