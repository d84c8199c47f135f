from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fakes.data_root import DataRoot, write_rows

from daydreaming_dagster.domain.catalogue import POOL_FREE, POOL_LOCAL, POOL_PAID
from daydreaming_dagster.domain.errors import InputErrors
from daydreaming_dagster.domain.stages import Stage

CONCEPTS_HEADER = "concept_id,name,active\n"
TEMPLATES_HEADER = "template_id,template_name,description,parser,generator,active\n"
MODELS_HEADER = "id,model,for_generation,for_evaluation"


def problems_of(root: DataRoot) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        root.read_catalogue()
    return [str(problem) for problem in caught.value.problems]


def the_problem_of(root: DataRoot) -> str:
    problems = problems_of(root)
    assert len(problems) == 1, problems
    return problems[0]


# What is accepted ---------------------------------------------------------------------------------------------------
def test_a_plain_data_root_becomes_a_catalogue_in_file_order(root: DataRoot) -> None:
    catalogue = root.read_catalogue()
    assert [concept.concept_id for concept in catalogue.active_concepts()] == [
        "mind-wandering",
        "economic-moat",
        "flywheel",
    ]
    assert catalogue.concepts["flywheel"].description("article") == "About flywheel."
    assert [template.template_id for template in catalogue.active_templates(Stage.EVALUATION)] == [
        "novelty",
        "coherence",
    ]
    assert catalogue.templates[Stage.DRAFT]["notes"].parser == "identity"
    assert (catalogue.templates[Stage.EVALUATION]["novelty"].scale_min, catalogue.replicates[Stage.DRAFT]) == (0.0, 1)
    assert catalogue.endpoints["openrouter"].api_key_env == "OPENROUTER_API_KEY"
    assert {"llm_api_free", "llm_api_paid", "llm_local"} <= catalogue.pools.keys()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffconcept_id,name,active\r\na,A,True\r\n\r\nb,B,0\r\n",
        "name,extra,active,concept_id\nA,x,YES,a\n,,,\nB,y, no ,b\n",
        'concept_id,name,active\n"a","A",true\n"b","B",FALSE',
        " Concept_ID , NAME,active\n a ,A,1\nb,B,False\n",
    ],
)
def test_tables_are_read_as_spreadsheets_and_editors_write_them(root: DataRoot, text: str) -> None:
    root.write(root.paths.concepts_csv, text)
    concepts = root.read_catalogue().concepts
    assert [(concept.concept_id, concept.name, concept.active) for concept in concepts.values()] == [
        ("a", "A", True),
        ("b", "B", False),
    ]


def test_a_quoted_cell_over_two_lines_does_not_shift_the_line_numbers_below(root: DataRoot) -> None:
    root.write(root.paths.concepts_csv, CONCEPTS_HEADER + 'a,"A\nof two lines",True\nb,B,perhaps\n')
    assert the_problem_of(root) == (
        f"{root.paths.concepts_csv}:4, column active: this is not a clear yes or no (found 'perhaps'); "
        "allowed: True, False, 1, 0, yes, no"
    )


def test_descriptions_are_stripped_and_blank_ones_are_absent(root: DataRoot) -> None:
    root.write(root.paths.concept_description("article", "flywheel"), " \r\n ")
    root.write(root.paths.concept_description("sentence", "flywheel"), "\ufeff One.\r\nTwo.\n")
    concept = root.read_catalogue().concepts["flywheel"]
    assert dict(concept.descriptions) == {"sentence": "One.\nTwo.", "paragraph": "About flywheel."}


def test_a_copying_essay_template_needs_no_file(root: DataRoot) -> None:
    root.write(root.paths.templates_csv(Stage.ESSAY), "template_id,generator,active\nas-it-is,copy,True\n")
    template = root.read_catalogue().templates[Stage.ESSAY]["as-it-is"]
    assert (template.generator, template.source, template.template_name) == ("copy", "", "as-it-is")


def test_tables_of_the_reference_system_are_read_as_they_are(root: DataRoot) -> None:
    root.write(
        root.paths.templates_csv(Stage.DRAFT), "template_id,template_name,description,active,parser\nnotes,N,D,true,\n"
    )
    root.write(
        root.paths.templates_csv(Stage.ESSAY),
        "template_id,template_name,description,active,generator\nnarrative,N,D,false,llm\n",
    )
    catalogue = root.read_catalogue()
    assert catalogue.templates[Stage.DRAFT]["notes"].generator == "llm"
    assert not catalogue.active_templates(Stage.ESSAY)


def test_a_blank_pool_follows_from_what_is_called(root: DataRoot) -> None:
    root.write(
        root.paths.models_csv,
        "id,model,endpoint,for_generation,for_evaluation\n"
        "free,maker/small:free,,1,0\npaid,maker/big,,1,1\nlocal,smollm2,embedded,0,1\n",
    )
    models = root.read_catalogue().models
    assert [model.pool for model in models.values()] == [POOL_FREE, POOL_PAID, POOL_LOCAL]


def test_endpoints_pools_prices_and_parameters_are_read(root: DataRoot) -> None:
    root.write(
        root.paths.endpoints_csv,
        "endpoint,kind,base_url,api_key_env,extra_body\n"
        'mine,openai,http://127.0.0.1:9/v1,,"{""provider"": {""order"": [""a""]}}"\n'
        "openrouter,openai,,MY_KEY,\n",
    )
    root.write(root.paths.pools_csv, "pool,max_concurrent,requests_per_minute\nllm_api_paid,3,\nslow,1,5\n")
    root.write(
        root.paths.models_csv,
        "id,model,for_generation,for_evaluation,endpoint,pool,price_prompt,price_completion,params\n"
        'm,maker/m,yes,no,mine,slow,0.000001,2e-6,"{""seed"": 7}"\n',
    )
    catalogue = root.read_catalogue()
    model = catalogue.models["m"]
    assert (model.pool, model.price_prompt, model.price_completion, model.params) == ("slow", 1e-6, 2e-6, {"seed": 7})
    assert catalogue.endpoints["mine"].extra_body == {"provider": {"order": ["a"]}}
    assert catalogue.endpoints["openrouter"].base_url.startswith("https://")
    assert catalogue.endpoints["openrouter"].api_key_env == "MY_KEY"
    assert (catalogue.pools["llm_api_paid"].max_concurrent, catalogue.pools["slow"].requests_per_minute) == (3, 5)
    assert catalogue.pools["llm_api_free"].max_concurrent == 1


def test_whole_numbers_may_be_written_as_a_table_program_writes_them(root: DataRoot) -> None:
    root.write(root.paths.replication_csv, "stage,replicates\ndraft,1.0\nEssay,2\nevaluation,3.\n")
    assert list(root.read_catalogue().replicates.values()) == [1, 2, 3]


# What is refused ----------------------------------------------------------------------------------------------------
def test_all_problems_of_all_files_are_told_in_one_go(root: DataRoot) -> None:
    root.write(root.paths.concepts_csv, CONCEPTS_HEADER + "a,A,maybe\nb,,True\n")
    root.paths.template(Stage.DRAFT, "notes").unlink()
    root.write(root.paths.template(Stage.ESSAY, "narrative"), "{{ draft_blok }}")
    root.write(root.paths.models_csv, MODELS_HEADER + ",pool\nm,maker/m,true,true,fast\n")
    root.paths.replication_csv.unlink()
    problems = problems_of(root)
    assert [re.sub(r"^.*?/data/", "", problem).split(" (found")[0] for problem in problems] == [
        "1_raw/concepts_metadata.csv:2, column active: this is not a clear yes or no",
        "1_raw/concepts_metadata.csv:3, column name: the cell is blank, but it is required",
        "1_raw/draft_templates.csv:2, column template_id: the template has no file",
        "1_raw/templates/essay/narrative.txt:1: essay templates have no such variable",
        "1_raw/llm_models.csv:2, column pool: unknown pool",
        "1_raw/replication_config.csv: the file does not exist",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ": the file is empty; allowed: a header with the columns concept_id, name, active"),
        ("concept_id,active\na,True\n", ":1: the column 'name' is missing; allowed: concept_id, name, active"),
        (
            "concept_id,name,activ\na,A,True\n",
            ":1: the column 'active' is missing; is 'activ' meant?; allowed: concept_id, name, active",
        ),
        (
            "concept_id;name;active\na;A;True\n",
            ":1: the columns are not separated by commas (found 'concept_id;name;active'); allowed: commas "
            "(in a spreadsheet, save as CSV UTF-8 with commas between the fields)",
        ),
        (
            CONCEPTS_HEADER + "a,A, with a comma,True\n",
            ":2: the row has 4 cells, but the header names 3 columns (found 'a,A,with a comma,True'); "
            "allowed: text with commas in double quotes",
        ),
        (
            CONCEPTS_HEADER + "a,A,True\nB,B,True\nA,again,True\n",
            ":4, column concept_id: this id differs only in case from 'a' already in line 2 (found 'A')",
        ),
        (
            CONCEPTS_HEADER + "a,A,True\na,B,True\n",
            ":3, column concept_id: this id stands already in line 2 (found 'a')",
        ),
        (
            CONCEPTS_HEADER + "../a,A,True\n",
            ":2, column concept_id: this cannot be an id (found '../a'); "
            "allowed: letters, digits and . _ - + : @ ~ (they become file names and table columns)",
        ),
        (
            CONCEPTS_HEADER + 'a,"A,True\nb,B,True\n',
            ':2: the row cannot be read: unexpected end of data; allowed: quotes as "a ""word"", with a comma"',
        ),
        ("concept_id,name,active,active\na,A,True,False\n", ":1: the column 'active' stands twice"),
    ],
)
def test_a_broken_table_of_concepts_is_told_with_its_place(root: DataRoot, text: str, expected: str) -> None:
    root.write(root.paths.concepts_csv, text)
    assert the_problem_of(root) == f"{root.paths.concepts_csv}{expected}"


def test_text_that_is_not_utf8_is_told_with_its_line(root: DataRoot) -> None:
    root.paths.concepts_csv.write_bytes(CONCEPTS_HEADER.encode() + b"a,caf\xe9,True\n")
    assert the_problem_of(root) == (
        f"{root.paths.concepts_csv}:2: this is not UTF-8 text (byte 0xe9); allowed: files saved as UTF-8"
    )


def test_an_unreadable_description_is_a_problem_of_that_file(root: DataRoot) -> None:
    path = root.paths.concept_description("paragraph", "flywheel")
    path.write_bytes(b"\xff\xfe")
    assert the_problem_of(root).startswith(f"{path}:1: this is not UTF-8 text")


@pytest.mark.parametrize(
    ("stage", "row", "expected"),
    [
        (
            Stage.DRAFT,
            "notes,N,,essay_blok,llm,True",
            "column parser: unknown parser; is 'essay_block' meant? (found 'essay_blok'); allowed: ",
        ),
        (Stage.DRAFT, "notes,N,,,copy,True", "column generator: unknown generator (found 'copy'); allowed: llm"),
        (
            Stage.ESSAY,
            "narrative,N,,,lmm,True",
            "column generator: unknown generator; is 'llm' meant? (found 'lmm'); allowed: llm, copy",
        ),
        (Stage.EVALUATION, "novelty,N,,,llm,True", "column parser: an evaluation needs a parser (found ''); allowed: "),
        (
            Stage.EVALUATION,
            "novelty,N,,identity,llm,True",
            "column parser: unknown parser (found 'identity'); allowed: ",
        ),
        (Stage.DRAFT, "unheard-of,N,,,llm,False", "column template_id: the template has no file (found 'unheard-of')"),
        (Stage.DRAFT, "notes,N,,,llm,", "column active: this is not a clear yes or no (found '')"),
    ],
)
def test_a_broken_row_of_templates_is_told(root: DataRoot, stage: Stage, row: str, expected: str) -> None:
    root.write(root.paths.templates_csv(stage), TEMPLATES_HEADER + row + "\n")
    assert the_problem_of(root).startswith(f"{root.paths.templates_csv(stage)}:2, {expected}")


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("9,0", "column scale_max: the scale's top is not above its bottom, 9 (found '0')"),
        ("inf,9", "column scale_min: this is not an acceptable number (found 'inf')"),
        ("10,", "column scale_max: the scale's top is not above its bottom, 10 (found '')"),
    ],
)
def test_a_scale_without_extent_is_told(root: DataRoot, scale: str, expected: str) -> None:
    header = "template_id,parser,active,scale_min,scale_max\n"
    root.write(root.paths.templates_csv(Stage.EVALUATION), f"{header}novelty,in_last_line,True,{scale}\n")
    assert expected in the_problem_of(root)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("\n{% if draft_block %}", ":2: Jinja2 cannot read the template: Unexpected end of template."),
        (
            "One\n{{ essay }}",
            ":2: essay templates have no such variable (found 'essay'); allowed: draft_block, links_block",
        ),
        ("{{ draft_block | shout }}", ":1: Jinja2 cannot read the template: No filter named 'shout'."),
        ("{% include 'other.txt' %}", ":1: templates cannot include, import or extend others"),
        ("{{ draft_block.text }}", ":1: 'str object' has no attribute 'text'; allowed: the text itself"),
        (" \n", ": the template is empty"),
    ],
)
def test_a_broken_template_is_told_with_its_line(root: DataRoot, source: str, expected: str) -> None:
    path = root.paths.template(Stage.ESSAY, "narrative")
    root.write(path, source)
    assert the_problem_of(root).startswith(f"{path}{expected}")


def test_a_template_may_only_ask_a_concept_for_its_name_and_content(root: DataRoot) -> None:
    root.write(root.paths.template(Stage.DRAFT, "notes"), "{% for c in concepts %}\n{{ c.description }}{% endfor %}")
    assert the_problem_of(root) == (
        f"{root.paths.template(Stage.DRAFT, 'notes')}:2: 'dict object' has no attribute 'description'; "
        "allowed: concept.name, concept.content"
    )


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        ("endpoint", "nowhere", "column endpoint: unknown endpoint (found 'nowhere'); allowed: openrouter, embedded"),
        ("price_prompt", "-1", "column price_prompt: this is not an acceptable number (found '-1')"),
        ("price_prompt", "0.15", "column price_prompt: 0.15 USD per token is 150,000 USD per million (found '0.15')"),
        ("price_prompt", "cheap", "column price_prompt: this is not an acceptable number (found 'cheap')"),
        ("params", '"{seed: 1}"', "column params: this is not valid JSON ("),
        ("params", "[1]", "column params: this is JSON, but no object (found '[1]')"),
        ("params", '"{""model"": ""x""}"', "column params: 'model' is set for each request and cannot be fixed here"),
    ],
)
def test_a_broken_cell_of_a_model_is_told(root: DataRoot, columns: str, cells: str, expected: str) -> None:
    root.write(root.paths.models_csv, f"{MODELS_HEADER},{columns}\nm,maker/m,true,true,{cells}\n")
    assert the_problem_of(root).startswith(f"{root.paths.models_csv}:2, {expected}")


def test_a_misspelt_optional_column_is_not_passed_over(root: DataRoot) -> None:
    root.write(root.paths.models_csv, f"{MODELS_HEADER},price_promt\nm,maker/m,true,true,1\n")
    assert ":1: the column 'price_promt' is unknown; is 'price_prompt' meant?" in the_problem_of(root)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("slow,0,", "column max_concurrent: this is not an acceptable number (found '0'); allowed: whole numbers >= 1"),
        ("slow,-2,", "column max_concurrent: this is not an acceptable number (found '-2')"),
        ("slow,,", "column max_concurrent: the cell is blank, but it is required"),
        ("slow,1.5,", "column max_concurrent: this is not an acceptable number (found '1.5')"),
        ("slow,1,many", "column requests_per_minute: this is not an acceptable number (found 'many')"),
    ],
)
def test_a_limit_that_is_none_is_told(root: DataRoot, row: str, expected: str) -> None:
    root.write(root.paths.pools_csv, f"pool,max_concurrent,requests_per_minute\n{row}\n")
    assert expected in the_problem_of(root)


def test_a_key_in_the_place_of_its_variable_is_refused_without_being_shown(root: DataRoot) -> None:
    key = "sk-or-v1-0123456789"
    root.write(root.paths.endpoints_csv, f"endpoint,kind,base_url,api_key_env\nmine,openai,https://a.b/v1,{key}\n")
    problem = the_problem_of(root)
    assert "column api_key_env: this is not the name of an environment variable" in problem
    assert key not in problem


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("mine,openai,,", "column base_url: this is no web address (found '')"),
        ("mine,openai,localhost:8000,", "column base_url: this is no web address (found 'localhost:8000')"),
        ("mine,openrouter_batch,,", "column base_url: this is no web address (found '')"),
        ("mine,grpc,https://a.b,", "column kind: unknown kind of endpoint (found 'grpc')"),
    ],
)
def test_a_broken_endpoint_is_told(root: DataRoot, row: str, expected: str) -> None:
    root.write(root.paths.endpoints_csv, f"endpoint,kind,base_url,api_key_env\n{row}\n")
    assert expected in the_problem_of(root)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("draft,1\nessay,1\n", "there is no row for: evaluation"),
        ("draft,1\nessay,0\nevaluation,1\n", ":3, column replicates: this is not an acceptable number (found '0')"),
        ("draft,1\nessay,1\nevaluation,1\ndraft,2\n", ":5, column stage: this stage stands twice (found 'draft')"),
        (
            "draft,1\nessay,1\nevaluations,1\nevaluation,1\n",
            ":4, column stage: unknown stage; is 'evaluation' meant? (found 'evaluations')",
        ),
    ],
)
def test_every_stage_needs_one_number_of_replicates(root: DataRoot, rows: str, expected: str) -> None:
    root.write(root.paths.replication_csv, f"stage,replicates\n{rows}")
    assert expected in the_problem_of(root)


@pytest.mark.parametrize(
    "path_of",
    [
        lambda root: root.paths.concepts_csv,
        lambda root: root.paths.templates_csv(Stage.EVALUATION),
        lambda root: root.paths.models_csv,
        lambda root: root.paths.replication_csv,
    ],
)
def test_a_missing_file_is_told(root: DataRoot, path_of: Callable[[DataRoot], Path]) -> None:
    path_of(root).unlink()
    assert the_problem_of(root) == f"{path_of(root)}: the file does not exist"


def test_a_folder_in_the_place_of_a_file_is_told(root: DataRoot) -> None:
    root.paths.concepts_csv.unlink()
    root.paths.concepts_csv.mkdir()
    assert the_problem_of(root).startswith(f"{root.paths.concepts_csv}: the file cannot be read (")


def test_paths_in_messages_are_relative_to_the_working_directory(
    root: DataRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.paths.replication_csv.unlink()
    monkeypatch.chdir(root.paths.root.parent)
    assert the_problem_of(root) == "data/1_raw/replication_config.csv: the file does not exist"


def test_the_templates_folder_can_lie_elsewhere(root: DataRoot, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (root.paths.raw / "templates").rename(elsewhere)
    moved = DataRoot.__new__(DataRoot)
    moved.paths = type(root.paths)(root.paths.root, elsewhere)
    assert moved.read_catalogue().templates[Stage.ESSAY]["narrative"].source.startswith("Write about")


def test_a_spreadsheet_with_one_row_only_is_no_problem(root: DataRoot) -> None:
    write_rows(root.paths.concepts_csv, [{"concept_id": "a", "name": "A", "active": "True"}])
    assert list(root.read_catalogue().concepts) == ["a"]


def test_a_misspelt_concept_or_template_is_told_with_the_name_of_its_text(root: DataRoot) -> None:
    for path, name, misspelt in (
        (root.paths.concepts_csv, "flywheel", "flywhel"),
        (root.paths.templates_csv(Stage.ESSAY), "narrative", "narative"),
    ):
        root.write(path, path.read_text().replace(name, misspelt, 1))
    told = [problem.partition(" column ")[2].split(" (found")[0] for problem in problems_of(root)]
    assert told == [
        "concept_id: the concept has no description; is 'flywheel' meant?",
        "template_id: the template has no file; is 'narrative' meant?",
    ]


def test_a_concept_may_do_with_its_name_and_that_is_noted(root: DataRoot) -> None:
    root.write(root.paths.concepts_csv, root.paths.concepts_csv.read_text() + "zebra,Zebra,True\n")
    notes = root.plan().notes
    assert notes == ["Concept 'zebra' has no description at any level: drafts are shown its name and nothing else."]
