"""`daydreaming models`: the table, what the endpoints say of it, and prices that are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.test_command_line import end
from tests.fakes.data_root import DataRoot
from tests.fakes.openai_server import serve_in_thread

Capture = pytest.CaptureFixture[str]
HEADER = "id,model,provider,display_name,for_generation,for_evaluation,specialization,endpoint"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYDREAMING_DATA_ROOT", "data")
    monkeypatch.setenv("COLUMNS", "100")
    root = DataRoot(Path("data"))
    root.paths.models_csv.write_text(
        f"{HEADER}\nwriter,fake/writer,Lab,W,true,false,,near\nj,fake/jude,,J,no,yes,,near\n"
    )
    return root


def test_prices_are_asked_for_shown_and_written(root: DataRoot, capsys: Capture) -> None:
    with serve_in_thread() as server:
        root.paths.endpoints_csv.write_text(f"endpoint,kind,base_url\nnear,openai,{server.base_url}\n")
        assert end("models", "--write-prices", "--dry-run") == 3
        told = capsys.readouterr().out
        assert "mind writer: the endpoint asks for 0.2 + 0.8, the table says ? + ?" in told
        assert "mind j: near does not offer fake/jude; is 'fake/judge' meant?" in told
        assert "Would write 1 price row into data/1_raw/llm_models.csv." in told
        assert "price_prompt" not in root.paths.models_csv.read_text()
        assert end("models", "--write-prices") == 3, "one of them is still not offered"
        capsys.readouterr()
        assert end("models", "--ask") == 3
    told = capsys.readouterr().out
    assert ["writer", "yes", "–", "near", "llm_api_paid", "0.2", "0.8"] in [line.split() for line in told.splitlines()]
    assert "mind writer" not in told and "mind j" in told


def test_without_a_server_the_table_is_shown_and_the_reason_told(root: DataRoot, capsys: Capture) -> None:
    root.paths.endpoints_csv.write_text("endpoint,kind,base_url\nnear,openai,http://127.0.0.1:9/v1\n")
    assert end("models") == 0
    assert "writer" in capsys.readouterr().out
    assert end("models", "--ask") == 3
    told = capsys.readouterr().out
    assert "near does not say what it offers: " in told and "cannot be reached" in told
    assert "Nothing was compared" in told
