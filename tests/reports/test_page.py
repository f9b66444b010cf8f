"""The page: the same bytes anywhere, valid, self-contained, and true to the run's documents."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from signaldelta_assets.reports import Material, report_html, report_markdown
from signaldelta_assets.reports.sections import figures
from signaldelta_assets.reports.timeline import chosen_entities
from signaldelta_assets.versioning import sha256_hex
from tests.paths import ROOT

from .documents import RUN, material
from .page import Page, check_page


@pytest.fixture(scope="module")
def whole() -> Material:
    return material()


@pytest.fixture(scope="module")
def page(whole: Material) -> Page:
    return check_page(report_html(whole))


def _text(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


def test_the_same_run_gives_the_same_bytes_under_another_zone_locale_and_hash_seed(whole: Material) -> None:
    here = sha256_hex(report_html(whole))
    assert sha256_hex(report_html(material())) == here
    probe = (
        "from tests.reports.documents import material; from signaldelta_assets.reports import report_html; "
        "from signaldelta_assets.versioning import sha256_hex; print(sha256_hex(report_html(material())))"
    )
    for zone, language, seed in (("Pacific/Kiritimati", "de_DE.UTF-8", "1"), ("America/St_Johns", "C", "77")):
        environment = os.environ | {"TZ": zone, "LANG": language, "LC_ALL": language, "PYTHONHASHSEED": seed}
        found = subprocess.run(
            [sys.executable, "-c", probe], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == here, (zone, language, seed)


def test_no_id_and_no_order_of_rows_enters(whole: Material) -> None:
    data = report_html(whole)
    assert whole.manifest["run_id"].encode() not in data and b"id of snapshot" not in data
    other = replace(
        whole, manifest={**whole.manifest, "run_id": "01J0", "snapshot": {**whole.manifest["snapshot"], "id": "x"}}
    )
    assert report_html(other) == data
    assert report_html(replace(whole, manifest_hash="0" * 64)) != data
    turned = replace(whole, alerts=whole.alerts.take(list(range(len(whole.alerts)))[::-1]),
                     events=whole.events.take(list(range(len(whole.events)))[::-1]))  # fmt: skip
    assert check_page(report_html(turned)).rows == check_page(data).rows


def test_every_section_is_there_and_is_linked(page: Page) -> None:
    links = [str(attributes["href"]) for attributes in page.all("a")]
    sections = [f"#{attributes['id']}" for attributes in page.all("section")]
    assert sections == [
        "#verdict", "#asked", "#figures", "#pictures", "#alerts", "#contributions", "#months", "#circular",
        "#multiplicity", "#audit", "#left-out", "#method", "#manifest",
    ]  # fmt: skip
    assert {*links} == {*sections}
    figures = [attributes["id"] for attributes in page.all("figure")]
    assert figures == ["nulls", "precision-recall", "reliability", "lead-time", "timeline", "families", "base-rate",
                       "stability", "circularity"]  # fmt: skip
    assert all(f"{name}-title" in page.ids and f"{name}-desc" in page.ids for name in figures)


def test_it_needs_nothing_but_itself(whole: Material, page: Page) -> None:
    policy = next(
        entry["content"] for entry in page.all("meta") if entry.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert b"://" not in report_html(whole)
    assert "prefers-color-scheme:dark" in page.style and "@media print" in page.style


def test_the_figures_are_those_of_the_document(whole: Material, page: Page) -> None:
    text = _text(page)
    strict = whole.evaluation["overall"]["without_circular_evidence"]
    assert f"{strict['n_alerts']} alerts" in text and f"{strict['n_events']} events" in text
    spread = strict["intervals"]["auc"]
    width = round(spread["hi"] - spread["lo"], 12)
    digits = 2 if width >= 0.1 else 3 if width >= 0.01 else 4
    assert f"{strict['auc']:.{digits}f} [{spread['lo']:.{digits}f}, {spread['hi']:.{digits}f}]" in text
    for month, part in strict["by_month"].items():
        assert month in text and part["n_points"] > 0
    for item in whole.evaluation["leak_audit"]["moments"]:
        assert item["content_hash"][:12] in text
    for name in ("manifest", "spec", "environment", "dataset", "definitions", "evaluation", "scoring_model", "a", "d"):
        assert sha256_hex(name.encode()) in text, name
    assert RUN in text and "signaldelta backtest verify" in text
    assert "2 specs were tried for this question" in text
    assert "0.060 (holds)" in text, "this protocol's level is 90 %"


def test_what_is_absent_says_why() -> None:
    # The second month has no event in some figures; a threshold nobody reaches gives no alert at all.
    empty = material(threshold=0.99)
    assert empty.alerts.num_rows == 0
    found = check_page(report_html(empty))
    text = _text(found)
    assert "no uncensored alert" in text and "n/a: no alert was fired" in text
    assert "No answer: precision does not exist" in text
    assert "families" not in [attributes["id"] for attributes in found.all("figure")]


def test_nothing_at_all_to_show_on_the_timeline(whole: Material) -> None:
    bare = replace(whole, alerts=whole.alerts.slice(0, 0), events=whole.events.slice(0, 0),
                   samples={"samples": []})  # fmt: skip
    assert "there is no alert and no target event" in _text(check_page(report_html(bare)))


def test_below_the_minimum_dataset_there_is_no_metric() -> None:
    short = material(events=200, months=6)
    assert short.evaluation["status"] == "insufficient"
    data = report_html(short)
    found = check_page(data)
    text = _text(found)
    assert "Not enough data to say: " in text and "of 200 events needed" in text and "too few" in text
    assert not {"figures", "pictures", "months", "circular"} & set(found.ids)
    assert "AUC is" not in text and "value [interval]" not in text
    assert "insufficient" in str([attributes.get("class") for attributes in found.all("section")])
    assert "| figure |" not in report_markdown(short)
    # Nothing was matched, so nothing may be called missed or followed.
    assert "are not matched" in text
    for word in ("missed", "matched alerts", "of these matched", "what followed", "no event of its own", "0 matched"):
        assert word not in text, word
    assert 'hollow"' not in data.decode()


def test_a_hostile_name_is_text() -> None:
    name = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;"
    data = report_html(material(entity=name, family=name))
    found = check_page(data)
    assert b"<script" not in data and b"<img" not in data
    assert name in "".join(found.text)
    assert f"{name}: report of backtest" in "".join(found.text), "in the title too"


def test_shapley_values_are_means_over_the_explained_alerts(whole: Material, page: Page) -> None:
    alerts = [sample["score"] for sample in whole.samples["samples"] if sample["why"] == "alert"]
    for alert in alerts:
        of_m = sum(value["magnitude"] for value in alert["family_shapley"].values())
        assert of_m == pytest.approx(alert["magnitude"], abs=1e-12)
    text = _text(page)
    assert "Shapley value in M" in text
    for family in ("F1", "F2"):
        values = [alert["family_shapley"].get(family, {}).get("magnitude", 0.0) for alert in alerts]
        assert f"{sum(values) / len(values):+.3f}" in text


def test_what_is_told_of_some_alerts_is_not_told_of_all(whole: Material, page: Page) -> None:
    alerts = [sample for sample in whole.samples["samples"] if sample["why"] == "alert"]
    assert f"Explained are {len(alerts)} of {len(alerts)} alerts." in _text(page)
    weak = sorted(alerts, key=lambda sample: sample["score"]["magnitude"])[:2]
    text = _text(check_page(report_html(replace(whole, samples={"samples": weak}))))
    assert f"Explained are 2 of {len(alerts)} alerts, chosen by the hash of entity and moment" in text
    assert "The strongest of the explained alerts" in text


def test_the_lead_counts_the_matches_it_is_the_median_of(whole: Material) -> None:
    section = whole.evaluation["overall"]["without_circular_evidence"]
    start = datetime.fromtimestamp(whole.protocol["grid"]["start"], UTC)
    uncensored = [
        match
        for match in section["matches"]
        if datetime.fromisoformat(match["event_time"]) - start >= timedelta(hours=whole.protocol["horizon_hours"])
    ]
    early = {"entity_id": "E0", "alert_at": start.isoformat(), "event_time": (start + timedelta(hours=1)).isoformat()}
    more = {**section, "matches": [*uncensored, early]}
    for shown in (section, more):
        rows = {row[0]: row for row in figures(shown, "without_circular_evidence", "precision").rows}
        assert rows["Median lead time"][2] == f"{len(uncensored)} matched events"


def test_a_signal_without_weight_is_no_contributor(whole: Material) -> None:
    samples = [
        {**sample, "score": {**sample["score"], "top_contributors": [
            {**item, "delta_magnitude": 0.0 if item["signal_id"] == "S2" else item["delta_magnitude"]}
            for item in sample["score"]["top_contributors"]]}}
        for sample in whole.samples["samples"]
    ]  # fmt: skip
    before, after = (
        _text(check_page(report_html(each))) for each in (whole, replace(whole, samples={"samples": samples}))
    )
    start = "Signals among the top contributors of alerts"
    cut = [text[text.index(start) :][:400] for text in (before, after)]
    assert "S2" in cut[0] and "S2" not in cut[1] and "S1" in cut[1]


def test_the_entities_shown_are_chosen_without_regard_to_the_outcome(whole: Material) -> None:
    names = [f"E{number}" for number in range(40)]
    at = datetime(2024, 1, 1, tzinfo=UTC)
    events = pa.table({"entity_id": names, "event_time": [at] * 40})
    chosen = chosen_entities(pa.table({"entity_id": names[:3]}), events)
    assert chosen == sorted(sorted(names, key=lambda name: sha256_hex(name.encode()))[:12])
    assert chosen_entities(pa.table({"entity_id": names}), events.slice(0, 0)) == chosen


def test_the_timeline_draws_every_alert_and_event_of_its_lanes(whole: Material) -> None:
    data = report_html(whole).decode()
    picture = data[data.index('aria-labelledby="timeline-title') :]
    picture = picture[: picture.index("</svg>")]
    matched = whole.alerts.num_rows - whole.alerts["matched_event_time"].null_count
    missed = pc.sum(pc.is_null(whole.events["matched_alert_at"])).as_py()
    assert picture.count('class="line c1 thick"') == matched > 0
    assert picture.count("<circle") == whole.alerts.num_rows and picture.count('class="dot c2 hollow"') == missed > 0


def test_the_markdown_has_the_verdict_and_the_main_figures(whole: Material) -> None:
    lines = report_markdown(whole).splitlines()
    assert lines[0].startswith("**") and lines[0].endswith("**")
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 7 and all(line.count("|") == 5 for line in table)
    strict = whole.evaluation["overall"]["without_circular_evidence"]
    assert any(line.startswith("| Precision |") and f"{strict['precision'] * 100:.0f}" in line for line in table)


def test_events_of_interpolated_times_stand_apart(whole: Material) -> None:
    assert "how exactly their time is known" not in _text(check_page(report_html(whole)))
    apart = {
        "interpolated": {
            "events": 1234, "matched": 30, "recall": 0.25, "leads_shorter_than_error": 7,
            "lead_time_hours": {"q25": 0.1, "median": 0.5, "q75": 50.0}, "largest_error_seconds": 191.0,
        },
        "second": {
            "events": 0, "matched": 0, "recall": None, "leads_shorter_than_error": 0, "lead_time_hours": None,
            "largest_error_seconds": 0.0,
        },
    }  # fmt: skip
    text = _text(check_page(report_html(replace(whole, evaluation={**whole.evaluation, "by_time_precision": apart}))))
    _, _, table = text.partition("how exactly their time is known")
    assert "1 234 3.2 min 25 % 30 7 6 min / 30 min / 50 h (2.1 d)" in table.replace("\u202f", " ")
    assert "second 0 none n/a 0 0 n/a" in table
