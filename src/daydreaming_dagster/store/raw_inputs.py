"""The input files under `1_raw`, read into a `Catalogue`, with every problem of every file reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast

from daydreaming_dagster.domain.catalogue import (
    DESCRIPTION_LEVELS,
    ENDPOINT_EMBEDDED,
    ENDPOINT_KINDS,
    ENDPOINT_OPENROUTER,
    POOL_FREE,
    POOL_LOCAL,
    POOL_PAID,
    Catalogue,
    Concept,
    Endpoint,
    EndpointKind,
    Model,
    Pool,
    Template,
)
from daydreaming_dagster.domain.errors import require_no_problems
from daydreaming_dagster.domain.prompts import find_template_problems
from daydreaming_dagster.domain.score_parsers import SCORE_PARSERS
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.store.input_tables import (
    InputLog,
    Row,
    read_input_text,
    read_table,
    require_unique,
    show_path,
)
from daydreaming_dagster.store.paths import DataPaths
from daydreaming_dagster.utils.draft_parsers import DRAFT_PARSERS
from daydreaming_dagster.utils.wording import suggest

KNOWN_ENDPOINTS: Mapping[str, Endpoint] = {
    ENDPOINT_OPENROUTER: Endpoint(
        ENDPOINT_OPENROUTER, "openai", "https://openrouter.ai/api/v1", api_key_env="OPENROUTER_API_KEY"
    ),
    ENDPOINT_EMBEDDED: Endpoint(ENDPOINT_EMBEDDED, "embedded"),
}
"""Endpoints that need no row in `llm_endpoints.csv`; a row of the same name replaces them."""

KNOWN_POOLS: Mapping[str, Pool] = {
    # OpenRouter's limits for an account without bought credits.
    POOL_FREE: Pool(POOL_FREE, max_concurrent=1, requests_per_minute=20, requests_per_day=50),
    POOL_PAID: Pool(POOL_PAID, max_concurrent=16),
    # The embedded model's slots share one processor: more of them only make each answer slower.
    POOL_LOCAL: Pool(POOL_LOCAL, max_concurrent=2),
}
"""Pools that need no row in `llm_pools.csv`; a row of the same name replaces them."""

_FREE_SUFFIX = ":free"
_REQUEST_KEYS = ("messages", "model", "stream")
_URL = re.compile(r"https?://[^\s/]+\S*")
_HIGHEST_PRICE = 0.01
"""USD per token. Lists show prices per million; one of those would exhaust every budget at the first call."""
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEFAULT_SCALE = (0.0, 9.0)


def read_catalogue(paths: DataPaths) -> Catalogue:
    """Everything under `1_raw`, active or not, in the order of the files.

    Raises:
        InputErrors: all problems of all files.
    """
    log = InputLog()
    endpoints = _read_endpoints(paths, log)
    pools = _read_pools(paths, log)
    catalogue = Catalogue(
        concepts=_read_concepts(paths, log),
        templates={stage: _read_templates(paths, stage, log) for stage in Stage},
        models=_read_models(paths, endpoints, pools, log),
        endpoints=endpoints,
        pools=pools,
        replicates=_read_replicates(paths, log),
    )
    require_no_problems(log.problems)
    return catalogue


# Concepts -----------------------------------------------------------------------------------------------------------
def _read_concepts(paths: DataPaths, log: InputLog) -> dict[str, Concept]:
    rows = read_table(paths.concepts_csv, log, required=("concept_id", "name", "active"))
    concepts = [(row, _build_concept(paths, row, log)) for row in rows]
    require_unique([(row, concept.concept_id) for row, concept in concepts], "concept_id")
    nobodys = _list_described(paths) - {concept.concept_id for _, concept in concepts}
    for row, concept in concepts:
        # A concept may do with its name alone; but texts of nobody under nearly the same name are meant for it.
        if concept.active and not concept.descriptions and (meant := suggest(concept.concept_id, nobodys)):
            row.refuse("concept_id", f"the concept has no description{meant}", allowed="the names of its files")
    return {concept.concept_id: concept for _, concept in concepts}


def _list_described(paths: DataPaths) -> set[str]:
    folders = (paths.concept_description(level, "any").parent for level in DESCRIPTION_LEVELS)
    return {path.stem for folder in folders for path in folder.glob("*.txt")}


def _build_concept(paths: DataPaths, row: Row, log: InputLog) -> Concept:
    concept_id = row.require_id("concept_id")
    return Concept(
        concept_id=concept_id,
        name=row.require_text("name"),
        active=row.flag("active"),
        descriptions=_read_descriptions(paths, concept_id, log) if concept_id else {},
    )


def _read_descriptions(paths: DataPaths, concept_id: str, log: InputLog) -> dict[str, str]:
    descriptions: dict[str, str] = {}
    for level in DESCRIPTION_LEVELS:
        path = paths.concept_description(level, concept_id)
        if path.is_file() and (text := (read_input_text(path, log) or "").strip()):
            descriptions[level] = text
    return descriptions


# Templates ----------------------------------------------------------------------------------------------------------
def _read_templates(paths: DataPaths, stage: Stage, log: InputLog) -> dict[str, Template]:
    required: tuple[str, ...] = ("template_id", "active")
    optional: tuple[str, ...] = ("template_name", "description", "parser", "generator")
    if stage is Stage.EVALUATION:
        required += ("parser",)
        optional = ("template_name", "description", "generator", "scale_min", "scale_max", "construct", "direction")
    rows = read_table(paths.templates_csv(stage), log, required=required, optional=optional)
    templates = [(row, _build_template(paths, stage, row, log)) for row in rows]
    require_unique([(row, template.template_id) for row, template in templates], "template_id")
    return {template.template_id: template for _, template in templates}


def _build_template(paths: DataPaths, stage: Stage, row: Row, log: InputLog) -> Template:
    template_id = row.require_id("template_id")
    generators = ("llm", "copy") if stage is Stage.ESSAY else ("llm",)
    generator = cast(Literal["llm", "copy"], row.choice("generator", generators, "llm", what="unknown generator"))
    scale_min, scale_max = _read_scale(row)
    directions = ("higher_is_better", "lower_is_better")
    direction = row.choice("direction", directions, "higher_is_better", what="unknown direction")
    return Template(
        stage=stage,
        template_id=template_id,
        template_name=row.text("template_name", template_id),
        description=row.text("description"),
        parser=_read_parser(stage, row),
        generator=generator,
        active=row.flag("active"),
        source=_read_source(paths, stage, template_id, row, log) if template_id and generator == "llm" else "",
        scale_min=scale_min,
        scale_max=scale_max,
        construct=row.text("construct"),
        direction=cast(Literal["higher_is_better", "lower_is_better"], direction),
    )


def _read_parser(stage: Stage, row: Row) -> str:
    if stage is not Stage.EVALUATION:
        return row.choice("parser", tuple(DRAFT_PARSERS), "identity", what="unknown parser")
    parser = row.text("parser")
    if not parser:
        row.refuse("parser", "an evaluation needs a parser", allowed=", ".join(SCORE_PARSERS))
        return ""
    return row.choice("parser", tuple(SCORE_PARSERS), parser, what="unknown parser")


def _read_scale(row: Row) -> tuple[float, float]:
    low, high = row.number("scale_min"), row.number("scale_max")
    scale_min, scale_max = _DEFAULT_SCALE[0] if low is None else low, _DEFAULT_SCALE[1] if high is None else high
    if scale_min >= scale_max:
        row.refuse("scale_max", f"the scale's top is not above its bottom, {scale_min:g}")
    return scale_min, scale_max


def _read_source(paths: DataPaths, stage: Stage, template_id: str, row: Row, log: InputLog) -> str:
    path = paths.template(stage, template_id)
    if not path.is_file():
        meant = suggest(template_id, (other.stem for other in path.parent.glob("*.txt")))
        row.refuse(
            "template_id", f"the template has no file{meant}", allowed=f"ids of files in {show_path(path.parent)}"
        )
        return ""
    source = read_input_text(path, log)
    if source is None:
        return ""
    for problem in find_template_problems(stage, source):
        log.add(path, problem.message, line=problem.line, value=problem.value, allowed=problem.allowed)
    return source


# Models and where they run ------------------------------------------------------------------------------------------
def _read_models(
    paths: DataPaths, endpoints: Mapping[str, Endpoint], pools: Mapping[str, Pool], log: InputLog
) -> dict[str, Model]:
    required = ("id", "model", "for_generation", "for_evaluation")
    optional = (
        *("provider", "display_name", "specialization", "endpoint", "pool", "family"),
        *("price_prompt", "price_completion", "params"),
    )
    rows = read_table(paths.models_csv, log, required=required, optional=optional)
    models = [(row, _build_model(row, endpoints, pools)) for row in rows]
    require_unique([(row, model.id) for row, model in models], "id")
    return {model.id: model for _, model in models}


def _build_model(row: Row, endpoints: Mapping[str, Endpoint], pools: Mapping[str, Pool]) -> Model:
    model_id, model = row.require_id("id"), row.require_text("model")
    endpoint = row.choice("endpoint", tuple(endpoints), ENDPOINT_OPENROUTER, what="unknown endpoint")
    usual_pool = _find_usual_pool(model, endpoints.get(endpoint))
    provider = row.text("provider")
    return Model(
        id=model_id,
        model=model,
        provider=provider,
        display_name=row.text("display_name", model_id),
        for_generation=row.flag("for_generation"),
        for_evaluation=row.flag("for_evaluation"),
        specialization=row.text("specialization"),
        endpoint=endpoint,
        pool=row.choice("pool", tuple(pools), usual_pool, what="unknown pool"),
        family=row.text("family", provider),
        price_prompt=_read_price(row, "price_prompt"),
        price_completion=_read_price(row, "price_completion"),
        params=row.json_object("params", reserved=_REQUEST_KEYS),
    )


def _read_price(row: Row, column: str) -> float | None:
    price = row.number(column, minimum=0)
    if price is not None and price > _HIGHEST_PRICE:
        row.refuse(
            column,
            f"{price:g} USD per token is {price * 1e6:,.0f} USD per million",
            allowed=f"the price per token: {price / 1e6:.12g} if this one is per million, or nothing",
        )
    return price


def _find_usual_pool(model: str, endpoint: Endpoint | None) -> str:
    if endpoint is not None and endpoint.kind == "embedded":
        return POOL_LOCAL
    return POOL_FREE if model.endswith(_FREE_SUFFIX) else POOL_PAID


def _read_endpoints(paths: DataPaths, log: InputLog) -> dict[str, Endpoint]:
    endpoints = dict(KNOWN_ENDPOINTS)
    if paths.endpoints_csv.exists():
        optional = ("base_url", "api_key_env", "extra_body")
        rows = read_table(paths.endpoints_csv, log, required=("endpoint", "kind"), optional=optional)
        built = [(row, _build_endpoint(row)) for row in rows]
        require_unique([(row, endpoint.endpoint) for row, endpoint in built], "endpoint")
        endpoints |= {endpoint.endpoint: endpoint for _, endpoint in built}
    return endpoints


def _build_endpoint(row: Row) -> Endpoint:
    name, kind = row.require_id("endpoint"), "openai"
    if row.require_text("kind"):
        kind = row.choice("kind", ENDPOINT_KINDS, kind, what="unknown kind of endpoint")
    known = KNOWN_ENDPOINTS.get(name)
    base_url, api_key_env = row.text("base_url", known.base_url if known else ""), row.text("api_key_env")
    extra_body = row.json_object("extra_body", reserved=_REQUEST_KEYS)
    endpoint = Endpoint(name, cast(EndpointKind, kind), base_url, api_key_env, extra_body)
    if endpoint.has_server and not _URL.fullmatch(base_url):
        row.refuse("base_url", "this is no web address", allowed="such as http://localhost:8000/v1")
    if api_key_env and not _VARIABLE_NAME.fullmatch(api_key_env):
        # Not shown: what stands here instead of a name is most likely the key itself.
        row.refuse(
            "api_key_env",
            "this is not the name of an environment variable",
            allowed="a name such as OPENROUTER_API_KEY; the key itself belongs into the environment or into .env",
            show=False,
        )
    return endpoint


def _read_pools(paths: DataPaths, log: InputLog) -> dict[str, Pool]:
    pools = dict(KNOWN_POOLS)
    if paths.pools_csv.exists():
        optional = ("requests_per_minute", "tokens_per_minute", "requests_per_day")
        rows = read_table(paths.pools_csv, log, required=("pool", "max_concurrent"), optional=optional)
        built = [(row, _build_pool(row)) for row in rows]
        require_unique([(row, pool.pool) for row, pool in built], "pool")
        pools |= {pool.pool: pool for _, pool in built}
    return pools


def _build_pool(row: Row) -> Pool:
    return Pool(
        pool=row.require_id("pool"),
        max_concurrent=row.require_whole("max_concurrent", minimum=1),
        requests_per_minute=row.whole("requests_per_minute", minimum=1),
        tokens_per_minute=row.whole("tokens_per_minute", minimum=1),
        requests_per_day=row.whole("requests_per_day", minimum=1),
    )


# Replicates ---------------------------------------------------------------------------------------------------------
def _read_replicates(paths: DataPaths, log: InputLog) -> dict[Stage, int]:
    path, before = paths.replication_csv, len(log.problems)
    rows = read_table(path, log, required=("stage", "replicates"))
    replicates: dict[Stage, int] = {}
    for row in rows:
        name = row.choice("stage", tuple(Stage), "", what="unknown stage")
        number = row.require_whole("replicates", minimum=1)
        if name in replicates:
            row.refuse("stage", "this stage stands twice")
        elif name:
            replicates[Stage(name)] = number
    missing = [stage for stage in Stage if stage not in replicates]
    if missing and len(log.problems) == before:
        log.add(
            path, f"there is no row for: {', '.join(missing)}", allowed="one row for each of draft, essay, evaluation"
        )
    return replicates
