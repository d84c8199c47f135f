"""`daydreaming run` before anything is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes.scripted_root import make_scripted_directory, run_command


@pytest.mark.slow
def test_a_missing_key_is_told_before_anything_is_written(tmp_path: Path) -> None:
    make_scripted_directory(tmp_path, endpoint="openrouter,openai,http://127.0.0.1:9/v1,NOBODYS_KEY,")
    ended = run_command(tmp_path, "daydreaming", "run")
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        "Error: Endpoint 'openrouter' needs a key, and the variable NOBODYS_KEY is not set.\n"
        '  → export NOBODYS_KEY="your key", or write it into .env. Without a key, the embedded model works: '
        "daydreaming demo\n"
    )
    assert not (tmp_path / "data" / "cohorts").exists()
    assert not list((tmp_path / "dagster_home").glob("history*"))
