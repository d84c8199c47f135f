"""Who may ask, what may be written, and what hostile texts come to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.explorer.readable_store import ReadableStore, make_scope

from daydreaming_dagster.domain.errors import ConfigurationError
from daydreaming_dagster.domain.stages import Stage
from daydreaming_dagster.explorer.listening import build_access, build_address, open_socket
from daydreaming_dagster.explorer.safety import MOST_BODY_BYTES, Access
from daydreaming_dagster.explorer.texts import MOST_SHOWN_CHARACTERS, make_label, render_markdown
from daydreaming_dagster.store.human_ratings import read_ratings

TOKEN = "a-token-of-twenty-characters"
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](https://elsewhere.test/x.png)",
    "[click](javascript:alert(1))",
    "[click](data:text/html,<script>alert(1)</script>)",
    "<a href='javascript:alert(1)'>x</a>",
    "```html\n</pre><script>alert(1)</script>\n```",
    "<style>body{display:none}</style>",
    "<iframe src='https://elsewhere.test'></iframe>",
    "| <script> | b |\n|---|---|\n| <svg onload=alert(1)> | 2 |",
    "{{ 7 * 7 }} {% include '/etc/passwd' %}",
    "\u202eevil\u202c \x00 \x1b[31m \ufffe",
]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[ReadableStore]:
    store = ReadableStore(tmp_path / "data", access=Access(frozenset({"box", "localhost"}), TOKEN))
    yield store
    store.close()


@pytest.mark.parametrize(
    "host",
    [
        *("elsewhere.test", "127.0.0.1.elsewhere.test", "", "0.0.0.0", "10.1.2.3:8765"),
        *(
            "[::1].elsewhere.test",
            "[127.0.0.1]elsewhere.test",
            "127.0.0.1@elsewhere.test",
            "localhost.",
            "localhost:1:2",
        ),
    ],
)
def test_a_foreign_name_is_refused(filled: ReadableStore, host: str) -> None:
    assert filled.get("/", host=host).status == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:1234", "127.0.0.1", "[::1]:8765", "LOCALHOST:80"])
def test_names_of_this_machine_are_answered(filled: ReadableStore, host: str) -> None:
    assert filled.get("/", host=host).status == 200


def test_with_a_token_nobody_comes_in_without_it(guarded: ReadableStore) -> None:
    for address in ("/", "/essays", "/static/app.css", "/rate/ratings.csv", "/?token=wrong"):
        answer = guarded.get(address, host="box:8765")
        assert answer.status == 401
        assert TOKEN not in answer.text


def test_the_printed_address_lets_in_and_the_token_leaves_the_address_bar(guarded: ReadableStore) -> None:
    answer = guarded.get(f"/essays?sort=newest&token={TOKEN}", host="box")
    assert answer.status == 303
    assert answer.headers["location"] == "/essays?sort=newest"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie
    assert guarded.get("/essays", host="box", cookie=cookie.split(";")[0]).status == 200
    assert guarded.get("/essays", host="192.168.1.5:8765", cookie=cookie.split(";")[0]).status == 200
    assert guarded.get("/essays", host="elsewhere.test", cookie=cookie.split(";")[0]).status == 421
    assert guarded.get("/essays", host="box", authorization=f"Bearer {TOKEN}").status == 200


def test_only_this_machine_is_let_in_without_a_token() -> None:
    assert build_access("127.0.0.1", None).token is None
    assert len(build_access("0.0.0.0", None).token or "") >= 32
    assert build_access("127.0.0.1", TOKEN).token == TOKEN
    assert TOKEN not in repr(build_access("box", TOKEN))
    with pytest.raises(ConfigurationError, match="6 characters"):
        build_access("box", "secret")


def test_a_taken_port_is_told_from_an_address_that_is_not_ours() -> None:
    first = open_socket("127.0.0.1", 0)
    assert first is not None
    with first:
        assert open_socket("127.0.0.1", first.getsockname()[1]) is None
        assert build_address(first, "localhost", None) == f"http://localhost:{first.getsockname()[1]}/"
    with pytest.raises(ConfigurationError, match="Cannot listen on 192"):
        open_socket("192.0.2.1", 0)


def test_a_token_leads_to_a_page_of_this_server_only(tmp_path: Path) -> None:
    store = ReadableStore(tmp_path / "data", access=Access(token=TOKEN))
    assert store.send(make_scope("/", headers=[(b"host", b"127.0.0.1")])).status == 401
    scope = make_scope(f"/?token={TOKEN}", headers=[(b"host", b"127.0.0.1")]) | {"path": "//elsewhere.test/essays"}
    answer = store.send(scope)
    assert (answer.status, answer.headers["location"]) == (303, "/elsewhere.test/essays")
    store.close()


@pytest.mark.parametrize(("host", "family"), [("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6)])
def test_the_printed_address_of_a_server_that_listens_everywhere_opens(host: str, family: socket.AddressFamily) -> None:
    listener = open_socket(host, 0)
    assert listener is not None
    try:
        address = urlsplit(build_address(listener, host, TOKEN))
        assert address.hostname is not None and address.hostname != host
        assert address.query == f"token={TOKEN}"
        with socket.create_connection((address.hostname, address.port or 0), timeout=10) as visitor:
            assert visitor.family == family
        assert build_access(host, TOKEN).allows_host(address.netloc)
    finally:
        listener.close()


def test_every_answer_forbids_what_is_not_ours(filled: ReadableStore) -> None:
    for address in ("/", "/essays/ranking.json", "/static/app.js", "/nothing"):
        headers = filled.get(address).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert filled.get("/", host="elsewhere.test").headers["x-frame-options"] == "DENY"


def test_no_page_names_another_server_or_holds_a_script_or_style_of_its_own(filled: ReadableStore) -> None:
    essay = filled.of(Stage.ESSAY)[0].gen_id
    for address in ("/", "/essays", f"/generation/{essay}", "/maps", "/judges", "/rate/essay?rater=A&rubric=novelty"):
        text = filled.get(address).text
        assert "<style" not in text and " style=" not in text and " onclick=" not in text
        assert all('src="/static/' in line for line in text.splitlines() if "<script" in line)


RATING = {"rater": "Ada", "rubric": "novelty", "score": "5", "action": "rate"}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://elsewhere.test"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_other_sites_cannot_write(own: ReadableStore, headers: dict[str, str]) -> None:
    form = {**RATING, "essay": own.of(Stage.ESSAY)[0].gen_id}
    assert own.post("/rate/essay", form, **headers).status == 403
    assert not own.paths.human_ratings.exists()


def test_a_form_without_the_token_of_these_pages_writes_nothing(own: ReadableStore) -> None:
    form = {**RATING, "essay": own.of(Stage.ESSAY)[0].gen_id, "write_token": "guessed"}
    assert own.post("/rate/essay", form).status == 403
    assert own.post("/rate/import", {"table": "x", "write_token": ""}).status == 403
    assert not own.paths.human_ratings.exists()
    assert (
        own.post("/rate/essay", {**form, "write_token": own.site.write_token}, origin="http://127.0.0.1:8765").status
        == 303
    )


def test_a_body_in_chunks_is_taken_no_further_than_others(own: ReadableStore) -> None:
    pieces = [b"a" * 2**20] * 40
    sent = asyncio.run(own.call(make_scope("/rate/import", "POST", [(b"host", b"127.0.0.1")]), pieces))
    assert sent[0]["status"] == 413
    assert len(pieces) == 40 - MOST_BODY_BYTES // 2**20 - 1


def test_a_form_of_thousands_of_fields_is_refused_and_no_failure(own: ReadableStore) -> None:
    fields = {f"field{number}": "1" for number in range(5000)}
    assert own.post("/rate/essay", fields).status == 400


def test_two_host_names_in_one_request_are_refused(filled: ReadableStore) -> None:
    scope = make_scope("/", headers=[(b"host", b"127.0.0.1"), (b"host", b"elsewhere.test")])
    assert filled.send(scope).status == 421


def test_a_web_socket_is_closed_at_once(filled: ReadableStore) -> None:
    scope = {**make_scope("/", headers=[(b"host", b"127.0.0.1")]), "type": "websocket"}
    assert [message["type"] for message in asyncio.run(filled.call(scope, []))] == ["websocket.close"]


def test_an_address_cannot_make_a_page_say_something(filled: ReadableStore) -> None:
    for address in ("/rate?", "/rate/essay?rater=Ada&rubric=novelty&"):
        text = filled.get(f"{address}message=Send+your+key+to&said=Send+your+key+to").text
        assert "Send your key to" not in text


def test_a_comment_is_no_formula_in_a_spreadsheet_and_comes_back_as_it_was(own: ReadableStore) -> None:
    form = {**RATING, "essay": own.of(Stage.ESSAY)[0].gen_id, "comment": "=HYPERLINK(1)"}
    own.post("/rate/essay", form)
    table = own.get("/rate/ratings.csv").text
    assert "'=HYPERLINK(1)" in table
    own.paths.human_ratings.unlink()
    own.post("/rate/import", {"table": table})
    assert [line.comment for line in read_ratings(own.paths).lines] == ["=HYPERLINK(1)"]


def test_nothing_but_reading_and_forms_is_done(filled: ReadableStore) -> None:
    assert filled._ask("DELETE", "/essays", b"", {}).status == 405
    assert filled._ask("POST", "/essays", b"", {}).status == 405
    assert filled._ask("POST", "/rate/import", b"", {"content_length": "999999999"}).status == 413


@pytest.mark.parametrize(
    "path",
    [
        "/generation/e_..%2f..%2fetc",
        "/generation/../../etc/passwd",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/cohort/../x",
    ],
)
def test_no_path_of_a_request_reaches_the_file_system(filled: ReadableStore, path: str) -> None:
    assert filled.get(path).status == 404


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_become_harmless_everywhere(own: ReadableStore, text: str) -> None:
    essay, judged = own.of(Stage.ESSAY)[0], own.of(Stage.EVALUATION)[0]
    own.write(essay._replace(gen_id="e_hostile", template_id=text[:40] or "x"), text=f"{text}\n\nzebra {text}")
    own.write(judged._replace(gen_id="v_hostile", parent_gen_id="e_hostile"), text=f"{text}\nSCORE: 3")
    own.refresh()
    pages = [
        *("/essays", "/generation/e_hostile", "/generation/e_hostile/raw", "/generation/e_hostile/lineage"),
        *("/generation/v_hostile", "/search?q=zebra", f"/compare?a=e_hostile&b={own.of(Stage.ESSAY)[1].gen_id}"),
    ]
    for address in pages:
        answer = own.get(address)
        assert answer.status == 200
        lower = answer.text.lower()
        for sign in (
            "<script>",
            "<img",
            "<iframe",
            "<style",
            "<svg onload",
            'href="javascript',
            'href="data:',
            "<a href='",
        ):
            assert sign not in lower
        assert "\x00" not in answer.text and "\x1b" not in answer.text


def test_marks_that_turn_the_direction_stay_inside_their_text() -> None:
    assert make_label("a\u202eb\u2066c\nd\x07") == "abc d\N{REPLACEMENT CHARACTER}"


def test_a_line_of_five_megabytes_is_shown_in_part_and_given_whole(own: ReadableStore) -> None:
    essay = own.of(Stage.ESSAY)[0]
    own.write(essay._replace(gen_id="e_long"), text="word " * 1_000_000)
    own.refresh()
    answer = own.get("/generation/e_long")
    assert answer.status == 200
    assert len(answer.body) < MOST_SHOWN_CHARACTERS + 50_000
    assert "Only the beginning is shown" in answer.text
    assert len(own.get("/generation/e_long/parsed/plain").body) == 5_000_000


@pytest.mark.parametrize("text", ["[" * 50_000, "*a **b " * 15_000, "> " * 10_000 + "x", "`" * 60_001, "a\n" * 60_000])
def test_markdown_that_is_made_to_be_slow_is_not(text: str) -> None:
    assert render_markdown(text)


def test_a_key_that_got_into_a_file_is_not_shown(own: ReadableStore) -> None:
    essay = own.of(Stage.ESSAY)[0]
    own.write(
        essay._replace(gen_id="e_leak"),
        text="The key is sk-secret-0123456789, the model said.",
        note="sk-secret-0123456789",
    )
    own.refresh()
    for part in ("", "/raw", "/metadata", "/raw/plain"):
        assert "sk-secret" not in own.get(f"/generation/e_leak{part}").text
    assert "sk-secret" not in own.get("/search?q=key").text
    assert "[key]" in own.get("/generation/e_leak").text
