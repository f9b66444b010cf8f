"""Every branch of the verdict: what decides it, and what its sentences must say."""

from __future__ import annotations

from typing import Any

import pytest

from signaldelta_assets.reports import GRADES, judge, primary_p_value
from signaldelta_assets.reports.wording import THIN

from .documents import PROTOCOL, evaluation, null, section, trial

GOOD = null(0.11, 0.05, 0.2, 0.01)
EVEN = null(0.28, -0.04, 0.06, 0.4)
BAD = null(0.5, -0.3, -0.1, 0.99)


def _judge(document: dict[str, Any], p: float | None = 0.01, holm: float | None = None, trials: int = 1) -> Any:
    return judge(document, PROTOCOL, trial(p, holm), trials)


def test_better_needs_every_null() -> None:
    found = _judge(evaluation(section(shifted_events=GOOD, random_alerts=GOOD)))
    assert found.grade == "better" and found.glyph == "▲"
    assert found.headline.startswith(f"Better than chance: of 412 alerts 30{THIN}% [25, 35] came before a target event")
    assert f"504{THIN}h (21{THIN}d)" in found.headline and f"+10{THIN}points [+5, +20]" in found.headline
    assert any("no cause" in sentence for sentence in found.sentences)
    one = _judge(evaluation(section(shifted_events=EVEN, random_alerts=GOOD)))
    assert one.grade == "not shown" and "events shifted in time" in one.headline, "beside the least favourable null"
    other = _judge(evaluation(section(shifted_events=GOOD, random_alerts=EVEN)))
    assert other.grade == "not shown" and "random alerts" in other.headline


def test_not_shown_says_how_far_the_truth_may_lie() -> None:
    found = _judge(evaluation(section(shifted_events=EVEN)))
    assert found.headline.startswith("Not shown to be better than chance: ")
    assert any(f"in [−4, +6]{THIN}points" in sentence and "no proof of absence" in sentence
               for sentence in found.sentences), found.sentences  # fmt: skip
    assert not any("no cause" in sentence for sentence in found.sentences)


def test_an_interval_without_a_p_value_that_holds_is_no_claim() -> None:
    found = _judge(evaluation(section(shifted_events=null(0.11, 0.05, 0.2, 0.07))), p=0.07)
    assert found.grade == "not shown"
    assert any("p 0.070, above 0.05" in sentence for sentence in found.sentences)
    assert _judge(evaluation(section(shifted_events=null(0.11, 0.05, 0.2, 0.05)))).grade == "better"
    assert _judge(evaluation(section(shifted_events=null(0.11, 0.05, 0.2, None)))).grade == "not shown"


def test_worse_and_no_better() -> None:
    assert _judge(evaluation(section(shifted_events=BAD, random_alerts=BAD))).headline.startswith("Worse than chance: ")
    assert _judge(evaluation(section(shifted_events=BAD, random_alerts=EVEN))).grade == "not shown"
    within = _judge(evaluation(section(shifted_events=EVEN, random_alerts=EVEN), smallest=0.1))
    assert within.grade == "no better" and any("smallest effect of interest" in text for text in within.sentences)
    assert _judge(evaluation(section(shifted_events=EVEN), smallest=0.05)).grade == "not shown", "0.06 is beyond"


def test_better_but_perhaps_too_small() -> None:
    found = _judge(evaluation(section(shifted_events=GOOD), smallest=0.08))
    assert found.grade == "better" and any("may be as small as" in text for text in found.sentences)
    enough = _judge(evaluation(section(shifted_events=GOOD), smallest=0.04))
    assert enough.grade == "better" and not any("may be as small" in text for text in enough.sentences)


def test_what_only_circular_evidence_carries() -> None:
    document = evaluation(section(shifted_events=EVEN), section(value=0.6, shifted_events=GOOD), circular=7)
    found = _judge(document)
    assert found.grade == "circular" and "share filings" in found.headline and "60" in found.headline
    assert any("without the 7 circular events" in text for text in found.sentences)
    gone = _judge(evaluation(section(value=None), section(shifted_events=GOOD), circular=7))
    assert gone.grade == "circular"
    assert any("without circular evidence precision does not exist" in text for text in gone.sentences)


def test_what_multiplicity_leaves() -> None:
    document = evaluation(section(shifted_events=GOOD))
    found = _judge(document, holm=0.06, trials=6)
    assert found.grade == "uncorrected" and found.headline.startswith("Not shown to be better than chance: ")
    assert any("Holm 0.060 (does not hold)" in text and "6 specs" in text for text in found.sentences)
    held = _judge(document, holm=0.05, trials=5)
    assert held.grade == "better" and any("Holm 0.050 (holds)" in text for text in held.sentences)
    alone = _judge(document)
    assert any("nothing to correct for" in text for text in alone.sentences)
    unknown = judge(document, PROTOCOL, None, 0)
    assert unknown.grade == "better" and any("not known" in text for text in unknown.sentences)


def test_insufficient_has_counts_and_nothing_else() -> None:
    short = section(value=None)
    short["dataset"] = {"events": {"found": 41, "needed": 200}, "event_types": {"found": 3, "needed": 3},
                        "months": {"found": 2, "needed": 6}}  # fmt: skip
    document = evaluation(section(value=None), short) | {"status": "insufficient"}
    document["overall"]["without_circular_evidence"] = None
    found = _judge(document, p=None)
    assert found.grade == "insufficient"
    assert found.headline == "Not enough data to say: 41 of 200 events needed and 2 of 6 months needed."
    assert primary_p_value(document) is None


@pytest.mark.parametrize(
    ("strict", "why"),
    [
        (section(value=None), "precision does not exist without circular evidence: no uncensored alert"),
        (section(), "the protocol draws no null that precision could stand beside"),
        (section(shifted_events=GOOD | {"difference_interval": None}), "has no interval around its difference"),
        (
            section(shifted_events=GOOD | {"difference_interval": None}, random_alerts=GOOD),
            "has no interval around its difference",
        ),
    ],
)
def test_no_answer_says_why(strict: dict[str, Any], why: str) -> None:
    found = _judge(evaluation(strict), p=None)
    assert found.grade == "no answer" and why in found.headline and found.sentences == ()


@pytest.mark.parametrize("figure", ["brier", "log_loss", "false_positive_rate"])
def test_where_smaller_is_better_the_good_side_is_below(figure: str) -> None:
    below, above = null(0.5, -0.2, -0.1, 0.01, -0.15), null(0.1, 0.1, 0.3, 0.99, 0.2)
    assert _judge(evaluation(section(figure, shifted_events=below))).grade == "better"
    assert _judge(evaluation(section(figure, shifted_events=above))).grade == "worse"
    least = null(0.5, -0.4, -0.05, 0.02, -0.2)
    found = _judge(evaluation(section(figure, random_alerts=below, shifted_events=least)))
    assert "events shifted in time" in found.headline, "the interval that comes nearest to 0"


def test_recall_and_auc_have_their_own_words() -> None:
    recall = _judge(evaluation(section("recall", shifted_events=GOOD))).headline
    assert f"of 1 event 30{THIN}% [25, 35] had an alert in the 504{THIN}h (21{THIN}d) before" in recall
    auc = _judge(evaluation(section("auc", 0.7, shifted_events=GOOD))).headline
    assert f"AUC is 0.70 [0.65, 0.75] over 1{THIN}000 grid points" in auc


def test_lead_is_said_beside_the_same_null() -> None:
    def lead(lo: float, hi: float) -> str:
        strict = section(shifted_events=GOOD)
        strict["lead_time_hours"] = {"median": 96.0, "q25": 50.0, "q75": 120.0}
        beside = null(80.0, lo, hi, 0.1) | {"lo": 60.0, "hi": 100.0}
        strict["nulls"]["shifted_events"]["lead_time_hours.median"] = beside
        return next(text for text in _judge(evaluation(strict)).sentences if text.startswith("Median lead"))

    assert lead(5.0, 20.0).endswith(": longer than by chance.") and f"96{THIN}h" in lead(5.0, 20.0)
    assert lead(-20.0, -5.0).endswith(": shorter than by chance.")
    assert lead(-5.0, 20.0).endswith(": not shown to differ from chance.")


def test_the_p_value_of_a_trial_is_the_greatest_over_its_nulls() -> None:
    document = evaluation(section(shifted_events=GOOD, random_alerts=EVEN), section(shifted_events=GOOD))
    assert primary_p_value(document) == 0.4
    assert primary_p_value(evaluation(section(value=None))) is None


def test_a_verdict_is_a_document_and_every_grade_has_words() -> None:
    found = _judge(evaluation(section(shifted_events=GOOD))).to_document()
    assert set(found) == {"grade", "figure", "headline", "sentences"} and found["grade"] in GRADES
    assert all(words and glyph for words, glyph in GRADES.values())
