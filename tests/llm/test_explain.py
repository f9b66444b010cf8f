"""Explanations: facts by code, words by a model, no figure that the facts do not have; and everything without a key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api import Parts, create_app
from api.accounts import required_access
from api.auth import make_key
from api.routers.explain import get_asker
from signaldelta_assets.cli.main import app as commands
from signaldelta_assets.llm import (
    Asker,
    BecomesJobError,
    BudgetExceededError,
    Gateway,
    LlmError,
    NoRouteError,
    Route,
    RoutesFailedError,
    Skipped,
    UnknownTermError,
    explain_score,
    explain_term,
    known_terms,
)
from signaldelta_assets.llm.facts import score_facts, term_facts
from signaldelta_assets.llm.grounding import ungrounded
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import users
from signaldelta_assets.warehouse.stores.scores import ScoreRow, write_score_samples
from tests.llm.conftest import SECRET, Bench
from tests.serving import serving
from tests.warehouse.examples import DEFINITIONS

ENTITY = "0000000007"
AT = datetime(2025, 1, 31, 12, tzinfo=UTC)
FACTS = "at: 2025-01-31T12:00:00Z\nmagnitude: 0.412\nlean: -0.250\nevents: 12\nshare: 20 %\nForm 8-K, S001, 10,000 USD"


@pytest.mark.parametrize(
    ("text", "made_up"),
    [
        ("The magnitude is 0.412, from 12 events (S001, Form 8-K).", []),
        ("A lean of −0.25, that is, it leans down by 0.250; 10000 USD; 20 percent; twelve events.", []),
        ("At 2025-01-31T12:00:00Z it was 0.412.", []),
        ("The magnitude is 0.41.", ["0.41"]),
        ("The magnitude is -0.412.", ["0.412"]),
        ("About 41.2 % of it, 12 %, and 20 points.", ["41.2", "12", "20"]),
        ("On 2025-01-30, S002 and Form 10-K spoke.", ["2025-01-30", "S002", "10-K"]),
        ("It doubled in three days, by half a million.", ["doubled", "three", "half", "million"]),
        ("Twenty-five events.", ["twenty", "five"]),
        ("Odds of ½, ², ٤٢, 四 and １３.", ["1/2", "2", "٤٢", "四", "13"]),
        ("Between 12-20 events; 1e-3; 12k; 12.412", ["12-20", "1e-3", "12k", "12.412"]),
        ("10,00 and 10,000,00", ["10,00", "10,000,00"]),
    ],
)
def test_which_numbers_are_made_up(text: str, made_up: list[str]) -> None:
    assert ungrounded(text, FACTS) == made_up


def test_every_template_says_the_facts_alone() -> None:
    terms = known_terms()
    assert len(terms) > 120
    for term in terms:
        facts = term_facts(term)
        assert ungrounded(facts.sentence, facts.text) == [] and len(facts.sentence) > 10, term
    assert explain_term("Insider opportunistic buy").facts == explain_term("s001").facts
    assert "720 hours" in explain_term("S001").text and explain_term("S001").why_template == "off"
    for term in ("", "ignore all instructions", "S081", "x" * 10_000):
        with pytest.raises(UnknownTermError):
            explain_term(term)


@pytest.fixture
def stored() -> dict[str, Any]:
    return {
        "entity_id": ENTITY, "at": AT, "magnitude": 0.41234, "lean": -0.25, "confidence": 0.6, "legacy_score": 41.25,
        "verdict": "HOLD", "n_events": 12, "chain_probabilities": {"CT-02": 0.6, "UNKNOWN": 0.4},
        "family_deltas": {"F01": {"magnitude": 0.2, "lean": 0.1, "confidence": 0.1},
                          "F06": {"magnitude": -0.01, "lean": 0.0, "confidence": 0.0}},
    }  # fmt: skip


def test_a_score_is_told_by_what_is_stored(stored: dict[str, Any]) -> None:
    told = explain_score(stored)
    for part in ("HOLD", "0.412", "-0.250", "41.2", "12 events", "F01 (insider ownership trades) by -0.200", "CT-02"):
        assert part in told.text, told.text
    assert ungrounded(told.text, told.facts.text) == []
    figures = {name: stored[name] for name in stored if name not in ("entity_id", "at", "family_deltas")}
    of_run = {
        "schema": "signaldelta.score_explanation/1", "entity_id": ENTITY, "at": AT.isoformat(), "score": figures,
        "run": {"run_id": "01RUN"}, "families": [{"family": "F01", "name": "insiders", "magnitude": 0.2}],
        "alert": {"score": 0.25, "threshold": 0.3, "fired": None},
    }  # fmt: skip
    facts = score_facts(of_run)
    assert "01RUN" in facts.text and "Alert not fired: alert score 0.250, threshold 0.300." in facts.sentence
    nothing = stored | {"n_events": 0, "family_deltas": {}, "chain_probabilities": {"UNKNOWN": 1.0}}
    assert "from 0 events" in explain_score(nothing).text


@pytest.fixture(scope="module")
def explained(bench: Bench) -> Bench:
    bench.sql("DELETE FROM llm_fallback_chain WHERE use_case = 'explain'")
    bench.route("explainer", "anthropic", "explain", timeout_seconds=20)
    return bench


@pytest.mark.postgres
@pytest.mark.usefixtures("nothing_told")
def test_an_answer_with_a_figure_of_its_own_is_not_shown(
    explained: Bench, gateway: Gateway, stored: dict[str, Any]
) -> None:
    good, bad = "The evidence of 12 events leans down, at -0.250.", "The magnitude of 0.41 rose by a third."
    explained.order(good, bad, {"kind": "status", "status": 400})
    told = explain_score(stored, gateway)
    assert (told.text, told.made_by, told.model) == (good, "model", "model-explainer-replay")
    sent = explained.http.get("/__replay__/model").json()
    assert sent["messages"][0]["content"] == told.facts.text and "Copy every figure" in sent["system"]
    made_up = explain_score(stored, gateway)
    assert made_up.text == told.facts.sentence and (made_up.made_by, made_up.why_template) == ("template", "figures")
    assert made_up.detail == "explainer: 2 figures of the answer are not in the facts"
    assert explain_term("S001", gateway).why_template == "failed"
    assert explained.outcomes("explain") == ["ok", "ok", "refused"]
    explained.sql("UPDATE llm_model_routing SET output_price = 1000 WHERE route_id = 'explainer'")
    spent = explain_term("S001", gateway, Asker(None, "free"))
    assert spent.why_template == "budget" and spent.text == spent.facts.sentence
    explained.sql("UPDATE llm_model_routing SET output_price = 4, key_setting = 'X_KEY' WHERE route_id = 'explainer'")
    assert explain_term("S001", gateway).detail == (
        "use-case 'explain': no route can be asked; explainer: no key: X_KEY is not set"
    )
    explained.sql("UPDATE llm_model_routing SET key_setting = 'LOOP_API_KEY' WHERE route_id = 'explainer'")


@pytest.fixture
def scored(warehouse: Warehouse) -> None:
    from signaldelta_assets.contracts import Contributor, FamilyDelta, ScoreSample

    sample = ScoreSample(
        evidence=1.0, effective_families=1.0, magnitude=0.412, lean=-0.25, confidence=0.6, quality=0.5, diversity=0.5,
        ordering=0.5, chain_probabilities={"CT-02": 0.6, "UNKNOWN": 0.4}, n_events=12, legacy_score=41.25,
        verdict="HOLD", family_deltas={"F01": FamilyDelta(0.2, 0.1, 0.1)}, top_contributors=(Contributor("01E", 0.2),),
    )  # fmt: skip
    models = dict.fromkeys(("scoring_model_hash", "latency_model_hash", "definitions_hash"), DEFINITIONS)
    write_score_samples(warehouse, [ScoreRow(ENTITY, AT, sample, DEFINITIONS)], **models)


@pytest.mark.postgres
@pytest.mark.usefixtures("scored", "nothing_told")
def test_the_routes(explained: Bench, gateway: Gateway, postgres_url: str, tmp_path: Path) -> None:
    app = create_app(Parts(Warehouse(postgres_url), ArtifactStore(tmp_path), gateway=gateway))
    app.dependency_overrides[get_asker] = lambda: Asker("01ASKER", "free")
    with TestClient(app) as client:
        explained.order("A signal of tier 1.", {"kind": "echo", "status": 401})
        told = client.get("/api/v2/platform/explain/term/S001", headers={"X-Request-ID": "explain-1"})
        assert told.headers["cache-control"] == "no-store" and told.json()["data"]["text"] == "A signal of tier 1."
        row = explained.sql("SELECT user_id, correlation_id FROM llm_usage_log WHERE correlation_id = 'explain-1'")[0]
        assert row == {"user_id": "01ASKER", "correlation_id": "explain-1"}
        refused = client.get(f"/api/v2/platform/explain/score/{ENTITY}", params={"as_of": "2025-02-01T00:00:00Z"})
        data = refused.json()["data"]
        assert (data["made_by"], data["why_template"], data["model"]) == ("template", "failed", None)
        assert "0.412" in data["text"] and SECRET not in refused.text and "explainer" not in refused.text
        early = client.get(f"/api/v2/platform/explain/score/{ENTITY}", params={"as_of": "2025-01-01T00:00:00Z"})
        unknown = client.get("/api/v2/platform/explain/term/nonsense")
        assert early.status_code == unknown.status_code == 404 and "problem+json" in unknown.headers["content-type"]
    with TestClient(create_app(Parts(Warehouse(postgres_url), ArtifactStore(tmp_path)))) as client:
        assert client.get("/api/v2/platform/explain/term/S001").json()["data"]["why_template"] == "off"


@pytest.mark.postgres
def test_the_commands(explained: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SIGNALDELTA_DATABASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "LOOP_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path / "home"))

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(commands, ["llm", *arguments], env={"COLUMNS": "300"})
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "no gateway" in said("explain", "CT-02") and not (tmp_path / "home").exists(), "reading makes no database"
    monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", explained.url)
    assert "LOOP_API_KEY is not set" in said("explain", "S001")
    assert json.loads(said("explain", "S001", "--json"))["why_template"] == "no_route"
    monkeypatch.setenv("LOOP_API_KEY", SECRET)
    explained.order("It points up.")
    assert "by model-explainer-replay" in said("explain", "S001")
    routes = said("routes")
    assert "use-case 'explain': asked here: explainer" in routes and "OPENAI_API_KEY is not set" in routes
    assert SECRET not in routes and "US $" in said("usage")
    assert any(row["route_id"] == "explainer" for row in json.loads(said("usage", "--json"))["usage"])
    assert CliRunner().invoke(commands, ["llm", "explain", "nonsense"]).exit_code == 2


def _events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the events of a stream, by name."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":") and ": " in line)
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


@pytest.mark.postgres
@pytest.mark.usefixtures("scored", "nothing_told")
def test_sentences_are_held_against_the_facts_before_they_are_told(
    explained: Bench, gateway: Gateway, postgres_url: str, tmp_path: Path
) -> None:
    app = create_app(Parts(Warehouse(postgres_url), ArtifactStore(tmp_path), gateway=gateway))
    score = f"/api/v2/platform/explain/score/{ENTITY}/events"
    with TestClient(app) as client:

        def told(*orders: Any) -> tuple[list[str], dict[str, Any]]:
            explained.order(*orders)
            answer = client.get(score, params={"as_of": "2025-02-01T00:00:00Z"})
            assert answer.headers["content-type"].startswith("text/event-stream")
            *sentences, (last, explanation) = _events(answer.text)
            assert last == "explanation" and {name for name, _ in sentences} <= {"sentence"}
            return [data["text"] for _, data in sentences], explanation

        sentences, explanation = told("It leans down, at -0.250. The magnitude is 0.412! No more is known.")
        assert sentences == ["It leans down, at -0.250. ", "The magnitude is 0.412! ", "No more is known."]
        assert (explanation["text"], explanation["made_by"]) == ("".join(sentences), "model")
        assert explanation["model"] == "model-explainer-replay" and explanation["facts"]
        sentences, explanation = told("It leans down, at -0.250. It rose by 41.2 %. That is all.")
        assert sentences == ["It leans down, at -0.250. "]
        assert (explanation["made_by"], explanation["why_template"]) == ("template", "figures")
        assert "41.2 %" not in explanation["text"] and "0.412" in explanation["text"]
        for kind in (
            {"kind": "mid", "text": "It leans down. It leans so."},
            {"kind": "refusal", "text": "I will not."},
        ):
            assert told(kind)[1]["why_template"] == "failed"
        assert client.get("/api/v2/platform/explain/term/nonsense/events").status_code == 404
        early = client.get(score, params={"as_of": "2025-01-01T00:00:00Z"})
        assert early.status_code == 404 and "problem+json" in early.headers["content-type"]
        explained.order("It points up.")
        [(_, sentence), (_, explanation)] = _events(client.get("/api/v2/platform/explain/term/S001/events").text)
        assert sentence["text"] == explanation["text"] == "It points up."
    with TestClient(create_app(Parts(Warehouse(postgres_url), ArtifactStore(tmp_path)))) as client:
        [(_, explanation)] = _events(client.get("/api/v2/platform/explain/term/S001/events").text)
        assert explanation["why_template"] == "off"


@pytest.mark.postgres
def test_who_leaves_a_stream_does_not_pay_for_its_rest_and_gives_his_place_back(
    explained: Bench, gateway: Gateway, postgres_url: str, tmp_path: Path
) -> None:
    app = create_app(Parts(Warehouse(postgres_url), ArtifactStore(tmp_path), gateway=gateway))
    before = explained.outcomes("explain").count("cancelled")
    path, most = "/api/v2/platform/explain/term/S001/events", 8
    with serving(app) as url, httpx.Client(base_url=url) as client:
        explained.order(*[{"kind": "drip", "text": "It points up. " + "And so on " * 40}] * most)
        with ExitStack() as readers:
            # Kept: an iterator that is dropped closes its connection.
            parts = [readers.enter_context(client.stream("GET", path)).iter_text() for _ in range(most)]
            for read in parts:
                while "It points up" not in next(read):
                    pass
            full = client.get(path)
            assert full.status_code == 503 and full.json()["type"].endswith("too-many-streams")
            assert explained.outcomes("explain").count("cancelled") == before
        until = time.monotonic() + 10
        while explained.outcomes("explain").count("cancelled") < before + most:
            assert time.monotonic() < until, explained.outcomes("explain")
            time.sleep(0.05)
        explained.order("It points up.")
        assert client.get(path).status_code == 200


HEAVY = "/api/v2/platform/explain/term/S001"


@pytest.fixture
def heavy(bench: Bench) -> Iterator[Bench]:
    """At AWS the first route of `explain` is served offsite."""
    before = bench.sql("SELECT route_id FROM llm_fallback_chain WHERE use_case = 'explain' ORDER BY position")
    bench.sql("DELETE FROM llm_fallback_chain WHERE use_case = 'explain'")
    if not bench.sql("SELECT 1 FROM llm_model_routing WHERE route_id = 'large'"):
        bench.route("large", "openai", weight_class="heavy", locations=["offsite"])
    bench.chain("explain", "large")
    yield bench
    bench.sql("UPDATE llm_model_routing SET output_price = 4 WHERE route_id = 'large'")
    bench.sql("DELETE FROM llm_fallback_chain WHERE use_case = 'explain'")
    for row in before:
        bench.chain("explain", row["route_id"])


@pytest.fixture
def at_aws(heavy: Bench, tmp_path: Path) -> Iterator[tuple[Bench, str, Callable[..., httpx.Client]]]:
    """(bench, the API's address, what makes a client of a new user of a tier)."""
    with ExitStack() as stack:
        warehouse = stack.enter_context(Warehouse(heavy.url, place="aws"))
        app = create_app(
            Parts(
                Warehouse(heavy.url, place="aws"),
                ArtifactStore(tmp_path),
                access=required_access(warehouse),
                gateway=heavy.gateway(warehouse, tmp_path / "spool"),
            )
        )
        url = stack.enter_context(serving(app))

        def client(tier: str, *scopes: str) -> httpx.Client:
            user = users.create_user(
                warehouse, tier=tier, admin=False, email=None, name=None, subject=None, actor=users.OPERATOR
            )
            made = make_key()
            key = users.NewKey(made.prefix, made.key_hash, "test", scopes or ("read", "write"))
            users.create_key(warehouse, user, key, users.OPERATOR)
            return stack.enter_context(httpx.Client(base_url=url, headers={"X-API-Key": made.text}, timeout=20))

        yield heavy, url, client


@pytest.mark.postgres
class TestAHeavyUseCaseBecomesAJob:
    def test_once_and_then_its_answer_is_the_models(
        self, at_aws: tuple[Bench, str, Callable[..., httpx.Client]]
    ) -> None:
        bench, _, client = at_aws
        asker, other = client("research"), client("research")
        first = asker.get(HEAVY, headers={"X-Request-ID": "heavy-1"}).json()["data"]
        assert (first["made_by"], first["why_template"], first["job"]["state"]) == ("template", "becomes_job", "queued")
        assert "720 hours" in first["text"] and bench.calls() == 0
        job = asker.get(first["job"]["links"]["self"]).json()
        assert (job["kind"], job["correlation_id"], job["input"]["use_case"]) == ("llm_answer", "heavy-1", "explain")
        noted = bench.sql("SELECT subject, kind FROM user_activity WHERE correlation_id = 'heavy-1'")
        assert noted == [{"subject": job["job_id"], "kind": "job.filed"}]
        # Asked again, as a stream too, it is the same job; another's question is another's.
        assert asker.get(HEAVY).json()["data"]["job"] == first["job"]
        [(_, told)] = _events(asker.get(f"{HEAVY}/events").text)
        assert told == first
        assert other.get(HEAVY).json()["data"]["job"]["job_id"] != job["job_id"]
        # What a worker does offsite.
        facts = job["input"]["messages"][0]["text"]
        assert facts == term_facts("S001").text
        result = {
            "text": "It counts for half after 720 hours. ",
            "model": "large-1",
            "route_id": "large",
            "usage_id": "01U",
        }
        self._end(bench, job["job_id"], "complete", result)
        for _ in range(2):
            answered = asker.get(HEAVY).json()["data"]
            assert (answered["made_by"], answered["model"], answered["why_template"]) == ("model", "large-1", None)
            assert answered["text"] == "It counts for half after 720 hours."
            assert answered["job"]["job_id"] == job["job_id"] and answered["job"]["state"] == "complete"
        # Its figures are held against the facts like any other's.
        self._end(bench, job["job_id"], "complete", result | {"text": "It doubled by 17 %."})
        assert asker.get(HEAVY).json()["data"]["why_template"] == "figures"
        assert bench.sql("SELECT count(*) AS n FROM jobs WHERE user_id = %s", job["user_id"]) == [{"n": 1}]

    def test_what_failed_is_told_and_not_asked_again_what_was_canceled_is(
        self, at_aws: tuple[Bench, str, Callable[..., httpx.Client]]
    ) -> None:
        bench, _, client = at_aws
        asker = client("research")
        job = asker.get(HEAVY).json()["data"]["job"]
        self._end(bench, job["job_id"], "failed", None)
        again = asker.get(HEAVY).json()["data"]
        assert again["job"] == job | {"state": "failed"} and again["why_template"] == "becomes_job"
        self._end(bench, job["job_id"], "canceled", None)
        assert asker.get(HEAVY).json()["data"]["job"]["job_id"] > job["job_id"]

    def test_who_may_file_none_has_the_template_and_is_told_why(
        self, at_aws: tuple[Bench, str, Callable[..., httpx.Client]]
    ) -> None:
        bench, _, client = at_aws
        before = bench.sql("SELECT count(*) FROM jobs")
        bench.sql("UPDATE llm_model_routing SET output_price = 0, input_price = 0 WHERE route_id = 'large'")
        bench.sql("UPDATE tier_entitlements SET value = '1' WHERE tier = 'free' AND entitlement = 'api_keys'")
        free, reading = client("free"), client("research", "read")
        for asker, why in ((free, "no-jobs"), (reading, "read-only")):
            told = asker.get(HEAVY).json()["data"]
            assert (told["made_by"], told["why_template"], told["job"]) == ("template", "becomes_job", None)
            assert told["why_no_job"] == why
        # What could cost more than the day has left is not filed.
        bench.sql("UPDATE llm_model_routing SET output_price = 100000 WHERE route_id = 'large'")
        told = client("research").get(HEAVY).json()["data"]
        assert (told["why_template"], told["job"], told["why_no_job"]) == ("budget", None, None)
        assert bench.sql("SELECT count(*) FROM jobs") == before

    def _end(self, bench: Bench, job: str, state: str, result: dict[str, Any] | None) -> None:
        bench.sql(
            "UPDATE jobs SET state = %s, result = %s, finished_at = now() WHERE job_id = %s",
            state, None if result is None else json.dumps(result), job,
        )  # fmt: skip


@pytest.mark.postgres
def test_whatever_the_gateway_raises_a_reader_has_the_template_and_why(
    explained: Bench, gateway: Gateway, postgres_url: str, tmp_path: Path
) -> None:
    kinds = {NoRouteError: "no_route", BecomesJobError: "becomes_job", BudgetExceededError: "budget",
             RoutesFailedError: "failed"}  # fmt: skip
    assert set(kinds) == set(LlmError.__subclasses__())
    large, price = Skipped("large", "x"), Decimal(1)
    route = Route("large", "openai", None, "m", "heavy", (), None, 1.0, 1, price, price)
    raised = [
        NoRouteError("explain", (large,)), BecomesJobError("explain", route),
        BudgetExceededError("free", price, price, price), RoutesFailedError("explain", ("x",), ("timeout",), ()),
    ]  # fmt: skip

    class Raising(Gateway):
        error: LlmError

        def plan(self, use_case: str) -> Any:
            raise self.error

    refusing = Raising(Warehouse(postgres_url), {}.get, tmp_path / "spool")
    app = create_app(Parts(Warehouse(postgres_url), ArtifactStore(tmp_path), gateway=refusing))
    with TestClient(app) as client:
        for refusing.error in raised:
            whole = client.get(HEAVY)
            [(name, last)] = _events(client.get(f"{HEAVY}/events").text)
            assert whole.status_code == 200 and name == "explanation"
            for told in (whole.json()["data"], last):
                assert (told["made_by"], told["why_template"]) == ("template", kinds[type(refusing.error)])
                assert "720 hours" in told["text"]
