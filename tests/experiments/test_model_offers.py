import asyncio
import csv
from datetime import date
from pathlib import Path

from tests.fakes.data_root import DataRoot
from tests.fakes.openai_server import PRICE_COMPLETION, PRICE_PROMPT, serve_in_thread

from daydreaming_dagster.experiments.model_offers import compare_with_offers, fetch_offers, show_price
from daydreaming_dagster.llm.openrouter_records import ModelOffer
from daydreaming_dagster.store.model_prices import write_model_prices
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.store.raw_inputs import read_catalogue

TODAY = date(2026, 11, 20)
HEADER = "id,model,provider,display_name,for_generation,for_evaluation,specialization,endpoint,price_prompt,params"


def root_with(tmp_path: Path, *rows: str, base_url: str = "http://127.0.0.1:9/v1") -> DataPaths:
    paths = DataRoot(tmp_path / "data").paths
    paths.models_csv.write_text("\n".join((HEADER, *rows)) + "\n")
    paths.endpoints_csv.write_text(f"endpoint,kind,base_url,api_key_env\nnear,openai,{base_url},\n")
    return paths


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines(), restval=""))


def problems(paths: DataPaths, *offers: ModelOffer) -> list[str]:
    catalogue = read_catalogue(paths)
    found = compare_with_offers(catalogue.models.values(), catalogue.endpoints, {"near": offers}, TODAY)
    return [problem for each in found for problem in each.describe()]


def test_a_name_that_nobody_offers_is_told_with_the_nearest_one(tmp_path: Path) -> None:
    paths = root_with(tmp_path, "w,lab/writer-5,Lab,W,true,true,,near,,")
    assert problems(paths, ModelOffer("lab/writer-5.5")) == [
        "near does not offer lab/writer-5; is 'lab/writer-5.5' meant?"
    ]


def test_other_prices_and_none_are_told(tmp_path: Path) -> None:
    paths = root_with(tmp_path, "w,lab/w,Lab,W,true,true,,near,0.000001,", "f,lab/f:free,Lab,F,true,true,,near,,")
    offers = (ModelOffer("lab/w", price_prompt=2e-6, price_completion=8e-6), ModelOffer("lab/f:free", price_prompt=0.0))
    assert problems(paths, *offers) == ["the endpoint asks for 2 + 8, the table says 1 + ?"]


def test_a_price_per_request_is_told_since_no_estimate_knows_it(tmp_path: Path) -> None:
    paths = root_with(tmp_path, "w,lab/w,Lab,W,true,true,,near,,", "f,lab/f:free,Lab,F,true,true,,near,,")
    offers = (ModelOffer("lab/w", price_request=0.005), ModelOffer("lab/f:free", price_request=0.0))
    assert problems(paths, *offers) == ["near asks $0.005 per request on top, which estimates and budgets do not know"]


def test_models_that_end_soon_and_parameters_that_nobody_heeds_are_told(tmp_path: Path) -> None:
    paths = root_with(
        tmp_path,
        'a,lab/a,Lab,A,true,true,,near,,"{""seed"": 1, ""top_k"": 5, ""provider"": {}}"',
        "b,lab/b,Lab,B,true,true,,near,,",
        "c,lab/c,Lab,C,true,true,,near,,",
    )
    offers = (
        ModelOffer("lab/a", supported_parameters=("seed",), expiration_date="2027-11-20"),
        ModelOffer("lab/b", expiration_date="2026-12-01"),
        ModelOffer("lab/c", expiration_date="2026-11-01T00:00:00Z"),
    )
    assert problems(paths, *offers) == [
        "no provider of it heeds top_k (params)",
        "it ends on 2026-12-01",
        "it ended on 2026-11-01",
    ]


def test_prices_asked_for_are_written_and_nothing_else_changes(tmp_path: Path) -> None:
    with serve_in_thread() as server:
        paths = root_with(
            tmp_path,
            'w,fake/writer,Lab,"W, the first",true,true,,near,,"{""seed"": 1}"',
            "x,lab/x,Lab,X,false,false,,near,,",
            base_url=server.base_url,
        )
        before = read_rows(paths.models_csv)
        catalogue = read_catalogue(paths)
        models, endpoints = catalogue.models.values(), catalogue.endpoints
        found = compare_with_offers(models, endpoints, asyncio.run(fetch_offers(models, endpoints, {})), TODAY)
    prices = {each.model.id: each.prices for each in found if each.prices}
    assert prices == {"w": (PRICE_PROMPT, PRICE_COMPLETION)}
    write_model_prices(paths.models_csv, prices)
    after = read_rows(paths.models_csv)
    assert [row.pop("price_prompt") for row in after] == ["0.0000002", ""]
    assert after[0].pop("price_completion") == "0.0000008"
    del after[1]["price_completion"]
    assert after == [{key: row[key] for key in now} for row, now in zip(before, after, strict=True)]
    model = read_catalogue(paths).models["w"]
    assert (model.price_prompt, model.price_completion) == (PRICE_PROMPT, PRICE_COMPLETION)


def test_an_endpoint_that_cannot_be_reached_is_an_answer(tmp_path: Path) -> None:
    paths = root_with(tmp_path, "w,lab/w,Lab,W,true,true,,near,,")
    catalogue = read_catalogue(paths)
    models, endpoints = catalogue.models.values(), catalogue.endpoints
    offers = asyncio.run(fetch_offers(models, endpoints, {}))
    assert "cannot be reached" in offers["near"].what  # type: ignore[union-attr]
    assert [each.problems for each in compare_with_offers(models, endpoints, offers, TODAY)] == [()]


def test_prices_read_as_providers_print_them() -> None:
    assert (show_price(1.5e-7), show_price(None)) == ("0.15", "?")
