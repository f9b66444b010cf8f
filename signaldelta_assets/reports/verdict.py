"""The verdict of a run in plain words, by rules alone.

A run is judged on the one figure its protocol names, never on its best one: by the interval of (figure - null)
without circular evidence, against every null that has the figure (a claim has to stand beside the least favourable),
and by what Holm's correction leaves of its p-value among the trials of its question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .material import Document, Trial
from .wording import (
    EVIDENCE,
    FIGURES,
    NULLS,
    THIN,
    counted,
    difference,
    figure,
    fixed,
    hours,
    listed,
    p_value,
    percent,
    span,
    words,
)

STRICT, ALL = "without_circular_evidence", "all_evidence"

# What a verdict's first words are, and a glyph so that colour never carries it alone.
GRADES: Mapping[str, tuple[str, str]] = {
    "better": ("Better than chance", "▲"),
    "uncorrected": ("Not shown to be better than chance", "○"),
    "circular": ("Looks better only because evidence and label share filings", "○"),
    "not shown": ("Not shown to be better than chance", "○"),
    "no better": ("No better than chance", "○"),
    "worse": ("Worse than chance", "▼"),
    "insufficient": ("Not enough data to say", "…"),
    "no answer": ("No answer", "…"),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`grade` (a key of GRADES), the sentence that says it, and the sentences that qualify it."""

    grade: str
    figure: str
    headline: str
    sentences: tuple[str, ...]

    @property
    def glyph(self) -> str:
        """The sign that stands beside the words."""
        return GRADES[self.grade][1]

    def to_document(self) -> dict[str, Any]:
        """Return the verdict as a document."""
        return {
            "grade": self.grade,
            "figure": self.figure,
            "headline": self.headline,
            "sentences": list(self.sentences),
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure beside one null: difference, its interval, p-value; `side` is better, worse, or covers."""

    null: str
    value: float
    band: Mapping[str, float]
    difference: float
    interval: Mapping[str, float]
    p_value: float | None
    side: str
    least: float  # the interval's unfavourable end, positive where the claim holds


def claims(section: Document | None, name: str) -> tuple[Claim, ...]:
    """Return what a figure of one variant of the evaluation claims beside each of its nulls, least favourable first.

    Nothing where one of them has the figure and no interval around the difference: a claim stands beside every null.
    """
    found = []
    if section is None or section.get(name) is None:
        return ()
    sign = -1.0 if FIGURES[name].smaller_is_better else 1.0
    for null in NULLS:
        beside = section["nulls"].get(null, {}).get(name)
        if beside is None:
            continue
        spread = beside["difference_interval"]
        if spread is None:
            return ()
        ends = sorted((sign * spread["lo"], sign * spread["hi"]))
        side = "better" if ends[0] > 0.0 else "worse" if ends[1] < 0.0 else "covers"
        band = {"lo": beside["lo"], "hi": beside["hi"]}
        found.append(Claim(null, beside["value"], band, beside["difference"], spread, beside["p_value"], side, ends[0]))
    return tuple(sorted(found, key=lambda claim: claim.least))


def primary_p_value(evaluation: Document) -> float | None:
    """Return the p-value a trial enters its family with: of its primary figure, without circular evidence.

    The greatest over the nulls, since the claim has to hold beside each of them; None where there is none.
    """
    overall = evaluation["overall"]
    found = claims(overall[STRICT], overall[ALL]["primary_figure"])
    values = [claim.p_value for claim in found if claim.p_value is not None]
    return max(values) if values else None


def judge(evaluation: Document, protocol: Document, trial: Trial | None, trials: int) -> Verdict:
    """Return the verdict on a run's evaluation document.

    `trial`: the run's own among the `trials` of its family so far; None where it is not known (then only the
    uncorrected claim is judged, and that is said).
    """
    overall = evaluation["overall"]
    whole, strict = overall[ALL], overall[STRICT]
    name = whole["primary_figure"]
    if evaluation["status"] == "insufficient":
        return _insufficient(name, whole)
    level = protocol["bootstrap"]["level"]
    alpha = round(1.0 - level, 12)
    beside, beside_all = claims(strict, name), claims(whole, name)
    looks_good = _passes(beside_all, alpha)
    if not beside and not looks_good:
        return Verdict("no answer", name, f"No answer: {_why_not(strict, name)}.", ())

    grade = _grade(beside, looks_good, alpha, whole["smallest_effect"])
    if grade == "better" and trial is not None and trial.holm > alpha:
        grade = "uncorrected"
    shown = whole if grade == "circular" else strict
    found = beside_all if grade == "circular" else beside
    headline = f"{GRADES[grade][0]}: {_compared(shown, found[0], name, level, protocol)}."
    qualified = [_qualified(grade, found, name, whole["smallest_effect"], level, alpha)]
    qualified += [_lead(shown, found[0].null), _circularity(overall, name), _multiplicity(trial, trials, level)]
    if grade in ("better", "uncorrected", "circular"):
        qualified.append(
            "This is an order in time within one snapshot: it shows no cause, and nothing about other periods, other "
            "entities or profit."
        )
    return Verdict(grade, name, headline, tuple(sentence for sentence in qualified if sentence))


def _insufficient(name: str, whole: Document) -> Verdict:
    short = [
        f"{counts['found']} of {counts['needed']} {words(kind)} needed"
        for kind, counts in whole["dataset"].items()
        if counts["found"] < counts["needed"]
    ]
    return Verdict(
        "insufficient",
        name,
        f"Not enough data to say: {listed(short)}.",
        ("Below the minimum dataset of its protocol a run has counts and no figures.",),
    )


def _why_not(section: Document, name: str) -> str:
    label = FIGURES[name].label.lower() if name != "auc" else "AUC"
    if section.get(name) is None:
        return f"{label} does not exist {EVIDENCE[STRICT]}: {section['reasons'].get(name, 'no reason is stored')}"
    if not any(name in figures for figures in section["nulls"].values()):
        return f"the protocol draws no null that {label} could stand beside"
    return f"{label} has no interval around its difference from the null"


def _passes(found: tuple[Claim, ...], alpha: float) -> bool:
    """Beside every null the interval lies on the good side, and few enough of the draws did as well."""
    return bool(found) and all(
        claim.side == "better" and claim.p_value is not None and claim.p_value <= alpha for claim in found
    )


def _grade(beside: tuple[Claim, ...], looks_good: bool, alpha: float, smallest: float | None) -> str:
    sides = {claim.side for claim in beside}
    if _passes(beside, alpha):
        return "better"
    # All evidence passes and the rest does not: what is left without the shared filings carries no claim.
    if looks_good:
        return "circular"
    if sides == {"worse"}:
        return "worse"
    within = smallest is not None and all(
        -smallest < claim.interval["lo"] and claim.interval["hi"] < smallest for claim in beside
    )
    return "no better" if within else "not shown"


def _compared(section: Document, claim: Claim, name: str, level: float, protocol: Document) -> str:
    kind = FIGURES[name].kind
    value, interval = section[name], section["intervals"].get(name)
    horizon = hours(protocol["horizon_hours"])
    said = figure(kind, value, interval)
    what = {
        "precision": f"of {counted(section['n_alerts'], 'alert')} {said} came before a target event within {horizon}",
        "recall": f"of {counted(section['n_events'], 'event')} {said} had an alert in the {horizon} before",
    }.get(name, f"{FIGURES[name].label} is {said} over {counted(section['n_scored_points'], 'grid point')}")
    return (
        f"{what}; under the least favourable null ({NULLS[claim.null]}) it is {figure(kind, claim.value, claim.band)}, "
        f"a difference of {difference(kind, claim.difference, claim.interval)} (intervals at {percent(level)})"
    )


def _qualified(
    grade: str, found: tuple[Claim, ...], name: str, smallest: float | None, level: float, alpha: float
) -> str:
    kind = FIGURES[name].kind
    worst = found[0]
    if grade == "better":
        least = abs(worst.least)
        if smallest is not None and least < smallest:
            return (
                f"The difference may be as small as {difference(kind, worst.least)}: less than the smallest effect of "
                f"interest, {difference(kind, smallest)}."
            )
        return ""
    if grade == "uncorrected":
        return "Alone it would be shown; corrected for the other trials of its question it is not."
    if grade == "not shown":
        ends = [claim.interval[side] for claim in found for side in ("lo", "hi")]
        possible = {"lo": min(ends), "hi": max(ends)}
        if worst.side == "better":
            common = max(found, key=lambda claim: claim.p_value or 0.0)
            return (
                f"Every interval of the difference excludes 0, but draws of a null ({NULLS[common.null]}) did as well "
                f"too often: p {p_value(common.p_value or 0.0)}, above {fixed(alpha, 2)}."
            )
        unit = {"share": f"{THIN}points", "hours": f"{THIN}h"}.get(kind, "")
        said = span(kind, worst.difference, possible, sign=True) + unit
        return f"At {percent(level)} every true difference in {said} remains possible: this is no proof of absence."
    if grade == "no better" and smallest is not None:
        return (
            f"Every difference still possible is below the smallest effect of interest, {difference(kind, smallest)}."
        )
    return ""


def _lead(section: Document, null: str) -> str:
    lead = section["lead_time_hours"]
    if lead is None:
        return ""
    said = figure("hours", lead["median"], section["intervals"].get("lead_time_hours.median"))
    beside = section["nulls"].get(null, {}).get("lead_time_hours.median")
    if beside is None:
        return f"Median lead of matched events {said}."
    chance = figure("hours", beside["value"], beside)
    spread = beside["difference_interval"]
    word = ""
    if spread is not None:
        word = ": longer than by chance" if spread["lo"] > 0.0 else ": shorter than by chance"
        word = word if spread["lo"] > 0.0 or spread["hi"] < 0.0 else ": not shown to differ from chance"
    return f"Median lead of matched events {said}, under the same null {chance}{word}."


def _circularity(overall: Document, name: str) -> str:
    circular = overall["circular_evidence"]
    events = circular["events_by_family"] + circular["events_by_record"]
    if not events:
        return "No evidence shares a filing or a family with the labels."
    whole, strict, kind = overall[ALL], overall[STRICT], FIGURES[name].kind
    if whole[name] is None or strict[name] is None:
        side = ALL if whole[name] is None else STRICT
        return f"{counted(events, 'event')} of evidence are circular; {EVIDENCE[side]} {name} does not exist."
    said = figure(kind, whole[name], whole["intervals"].get(name))
    other = figure(kind, strict[name], strict["intervals"].get(name))
    return f"With all evidence it is {said}; without the {counted(events, 'circular event')} it is {other}."


def _multiplicity(trial: Trial | None, trials: int, level: float) -> str:
    if trial is None:
        return "Its place among the trials of its question is not known: nothing is corrected for."
    if trial.p_value is None:
        return ""
    said = f"p {p_value(trial.p_value)}"
    if trials == 1:
        return f"No other spec was tried for this question before it ({said}): nothing to correct for."
    alpha = round(1.0 - level, 12)
    holds = [
        f"{label} {p_value(value)} ({'holds' if value <= alpha else 'does not hold'})"
        for label, value in (("Holm", trial.holm), ("Benjamini-Hochberg", trial.benjamini_hochberg))
    ]
    tried = f"{trials} specs were tried for this question, this one included"
    return f"{tried}: {said}, corrected by {listed(holds)} at {percent(alpha)}."
