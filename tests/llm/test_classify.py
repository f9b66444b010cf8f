"""Classification by a model over a loopback server that speaks both protocols, with the vendors' own clients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
import pytest

from signaldelta_assets.errors import DocumentError
from signaldelta_assets.llm import Answer, LlmError
from signaldelta_assets.llm.classification import (
    MATERIAL_AGREEMENT,
    Request,
    Task,
    classify,
    open_classifier,
    output_document,
)
from signaldelta_assets.replay import ReplayServer
from signaldelta_assets.settings import Settings
from signaldelta_assets.versioning import hash_document
from signaldelta_assets.warehouse import IntegrityError, Warehouse
from signaldelta_assets.warehouse.stores import llm as store
from signaldelta_assets.warehouse.stores import routing
from tests.llm.conftest import SECRET, URLS
from tests.paths import ROOT

TEXT = "The Company entered into a merger agreement; the merger is expected to close in May. Financing is committed."


def settings_for(server: ReplayServer, protocol: str, **more: object) -> Settings:
    given: dict[str, object] = {
        "llm_protocol": protocol, "llm_url": server.url + URLS[protocol], "llm_model": "small", "llm_api_key": SECRET,
        "http_attempts": 2, "http_timeout_seconds": 1.0,
    }  # fmt: skip
    return Settings(**(given | more))  # type: ignore[arg-type]


def calls(server: ReplayServer) -> int:
    return int(httpx.get(f"{server.url}/__replay__/log", params={"path": "/v1/"}).json()["requests"])


def fault(server: ReplayServer, **rule: object) -> None:
    httpx.post(f"{server.url}/__replay__/faults", json={"path": "/v1/", **rule}).raise_for_status()


@pytest.mark.postgres
@pytest.mark.parametrize("protocol", sorted(URLS))
def test_an_answer_is_stored_before_it_is_used_and_asked_for_once(
    server: ReplayServer, warehouse: Warehouse, protocol: str
) -> None:
    with open_classifier(settings_for(server, protocol), warehouse) as (answer, spoken, model):
        request = Request(MATERIAL_AGREEMENT, spoken, model, TEXT + protocol)
        first = classify(warehouse, answer, request)
        second = classify(warehouse, answer, request)
        assert (first.label, first.asked, second.asked) == ("merger", True, False)
        assert first.output_hash == second.output_hash and calls(server) == 1
        other = classify(warehouse, answer, Request(MATERIAL_AGREEMENT, spoken, model, TEXT + protocol + "!"))
        assert other.asked and other.request_hash != first.request_hash
    stored = store.get_output(warehouse, first.request_hash)
    assert stored is not None and hash_document(stored.document) == stored.output_hash == first.output_hash
    assert stored.document["model"] == "small-replay" and stored.document["input_tokens"] > 20
    assert [row["answers"] for row in store.list_outputs(warehouse) if row["protocol"] == protocol] == [2]
    logged = [row for row in routing.read_usage(warehouse, 1) if row["use_case"] == "signal_classify"]
    assert logged[-1]["route_id"] == "settings" and logged[-1]["calls"] >= 2 and logged[-1]["cost"] is None


@pytest.mark.postgres
def test_an_answer_that_is_no_label_is_kept_as_it_came_and_not_asked_for_again(
    server: ReplayServer, warehouse: Warehouse
) -> None:
    httpx.post(f"{server.url}/__replay__/model", json=["I think it may be a merger."]).raise_for_status()
    with open_classifier(settings_for(server, "openai"), warehouse) as (answer, protocol, model):
        request = Request(MATERIAL_AGREEMENT, protocol, model, "unclear")
        made = [classify(warehouse, answer, request) for _ in range(2)]
    assert [one.label for one in made] == [None, None] and calls(server) == 1
    stored = store.get_output(warehouse, request.hash)
    assert stored is not None and stored.document["text"] == "I think it may be a merger."


@pytest.mark.postgres
def test_of_two_answers_at_once_the_first_written_is_what_both_get(warehouse: Warehouse) -> None:
    request = Request(MATERIAL_AGREEMENT, "openai", "small", "asked twice at once")
    words = iter(("merger", "other"))

    def answer(_: Request) -> Answer:
        return Answer(next(words), "small", "stop", 1, 1)

    store.put_output(warehouse, request.document, output_document(request, answer(request)))
    store.put_output(warehouse, request.document, output_document(request, answer(request)))
    stored = store.get_output(warehouse, request.hash)
    assert stored is not None and stored.document["label"] == "merger"

    letters = [chr(97 + n) for n in range(8)]
    late = Request(MATERIAL_AGREEMENT, "openai", "small", "asked by eight")
    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(lambda word: classify(warehouse, lambda _: Answer(word, "small", "stop", 1, 1), late), letters)
        )
    assert len({one.output_hash for one in made}) == 1


@pytest.mark.postgres
def test_a_stored_answer_cannot_be_changed_and_a_changed_byte_is_found(
    server: ReplayServer, fresh_postgres_url: str
) -> None:
    with Warehouse(fresh_postgres_url) as warehouse:
        request = Request(MATERIAL_AGREEMENT, "openai", "small", TEXT)
        with open_classifier(settings_for(server, "openai"), warehouse) as (answer, *_):
            classify(warehouse, answer, request)
        with psycopg.connect(fresh_postgres_url, autocommit=True) as connection:
            change = "UPDATE signaldelta.llm_outputs SET output = '\\x7b7d'"
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="frozen"):
                connection.execute(change)
            connection.execute("ALTER TABLE signaldelta.llm_outputs DISABLE TRIGGER USER")
            connection.execute(change)
        with pytest.raises(IntegrityError, match=request.hash):
            store.get_output(warehouse, request.hash)


@pytest.mark.postgres
@pytest.mark.parametrize("protocol", sorted(URLS))
def test_a_server_that_fails_once_is_asked_again_and_one_that_goes_on_is_named_without_the_key(
    server: ReplayServer, warehouse: Warehouse, protocol: str
) -> None:
    with open_classifier(settings_for(server, protocol), warehouse) as (answer, spoken, model):
        request = Request(MATERIAL_AGREEMENT, spoken, model, TEXT)
        fault(server, kind="status", status=529 if protocol == "anthropic" else 503, count=1)
        assert answer(request).text == "merger"
        fault(server, kind="cut", count=1)
        assert answer(request).text == "merger"
        fault(server, kind="status", status=500)
        with pytest.raises(LlmError, match=f"{protocol} small: 500") as raised:
            answer(request)
        assert SECRET not in str(raised.value)
        httpx.delete(f"{server.url}/__replay__/faults")
        fault(server, kind="slow", delay_seconds=30)
        with pytest.raises(LlmError, match="Timeout"):
            answer(request)


def test_it_is_off_by_default_and_says_what_is_missing(server: ReplayServer) -> None:
    assert Settings().llm_protocol is None
    for missing, more in (
        ("SIGNALDELTA_LLM_PROTOCOL", {"llm_protocol": None}),
        ("SIGNALDELTA_LLM_MODEL", {"llm_model": None}),
        ("SIGNALDELTA_LLM_API_KEY", {"llm_api_key": None}),
    ):
        settings = settings_for(server, "openai", **more)
        with (
            pytest.raises(DocumentError, match=missing),
            Warehouse("postgresql://nowhere") as closed,
            open_classifier(settings, closed),
        ):
            pytest.fail("opened")


def test_everything_that_is_asked_is_in_the_hash() -> None:
    task = Task("t", "Say.", ("a", "b"), 10)
    base = Request(task, "openai", "m", "text")
    others = [
        Request(Task("t", "Say!", ("a", "b"), 10), "openai", "m", "text"),
        Request(Task("t", "Say.", ("b", "a"), 10), "openai", "m", "text"),
        Request(task, "anthropic", "m", "text"),
        Request(task, "openai", "n", "text"),
        Request(task, "openai", "m", "text."),
        Request(task, "openai", "m", "text", max_tokens=17),
    ]
    assert len({base.hash, *(other.hash for other in others)}) == len(others) + 1
    # What is not sent is not asked.
    assert Request(task, "openai", "m", "0123456789x").hash == Request(task, "openai", "m", "0123456789y").hash
    assert [task.read(text) for text in (" A.\n", "b", "ab", "a b", "")] == ["a", "b", None, None, None]


def test_nothing_that_decides_a_score_may_read_an_answer() -> None:
    """Imports are import-linter's matter; this is about the table, which any query could name."""
    rooms = [ROOT / "signaldelta_assets", ROOT / "api", ROOT / "dbt_project" / "models"]
    naming = {
        path.relative_to(ROOT).as_posix()
        for room in rooms
        for path in room.rglob("*.*")
        if path.suffix in (".py", ".sql") and "llm_outputs" in path.read_text()
    }
    assert naming == {
        "signaldelta_assets/warehouse/tables/__init__.py",
        "signaldelta_assets/warehouse/tables/llm.py",
        "signaldelta_assets/warehouse/stores/llm.py",
        "signaldelta_assets/defs/llm.py",
        # Hash what is there, and let go of what nothing rests on: neither decides anything.
        "signaldelta_assets/readback.py",
        "signaldelta_assets/warehouse/retention.py",
    }
