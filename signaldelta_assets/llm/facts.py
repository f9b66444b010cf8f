"""What is known of a term or of a score, as facts with their figures written out. Pure; no model has a part in it.

A fact's text is final: a figure is written here once, rounded here once, and copied from here by whoever tells it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from signaldelta_assets.catalogue import default_document
from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.reports.verdict import GRADES
from signaldelta_assets.reports.wording import EVIDENCE, FIGURES, NULLS

_MOST_FAMILIES = 3
_DIRECTIONS = {1: "up", -1: "down", 0: "neither up nor down"}
# The figures of a score, in the design's words (scoring.md).
SCORE_FIGURES: Mapping[str, str] = {
    "evidence": "the sum of what the available events weigh, decayed since they became known",
    "effective_families": "how many families of evidence there are, an uneven share counting for less",
    "magnitude": "how much evidence there is, from nothing to a bound it never reaches; it says nothing of direction",
    "lean": "which way the evidence points, from all down to all up",
    "confidence": "how far the evidence can be relied on: its quality, its diversity and its order in time",
    "quality": "how reliable the sources of the evidence are",
    "diversity": "whether many families of evidence agree or a single one speaks",
    "ordering": "whether evidence of early stages arrived before that of later ones",
    "legacy_score": "the score of the earlier version, of lean, magnitude and confidence; the verdict is cut from it",
    "verdict": "the word for the legacy score by fixed cuts, from STRONG_SELL to STRONG_BUY",
    "alert_score": "magnitude times confidence; an alert fires where it crosses the run's threshold",
    "half_life": "the time after which an event counts for half",
    "shapley_value": "what a family adds on average over all orders in which the families could have arrived",
    "counterfactual": "the score made again without one family or event; the difference is what that one contributes",
}


class UnknownTermError(SignalDeltaError):
    """A term that neither the catalogue nor a report has. No model is asked about it."""

    def __init__(self, term: str) -> None:
        self.term = term[:100]
        super().__init__(f"term {self.term!r}: expected one of the catalogue (S001, F01, CT-01) or of a report")


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: what it is about, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What may be said of `subject`, and the plain sentence that says it."""

    subject: str
    facts: tuple[Fact, ...]
    sentence: str

    @property
    def text(self) -> str:
        """All of it, a line each: what a model is given, and what its figures are held against."""
        return "\n".join([f"subject: {self.subject}", *(f"{fact.name}: {fact.text}" for fact in self.facts)])


def term_facts(term: str) -> Facts:
    """Return the facts of a signal, family, chain, label, or word of a report. Raises `UnknownTermError`."""
    found = _glossary().get(_plain(term))
    if found is None:
        raise UnknownTermError(term)
    return found


def known_terms() -> list[str]:
    """Return the subjects that `term_facts` knows, sorted."""
    return sorted({facts.subject for facts in _glossary().values()})


def _plain(term: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", term.lower()).strip("_")


@lru_cache(maxsize=1)
def _glossary() -> dict[str, Facts]:
    """By plain name. What comes first is kept: ids, then names."""
    document = default_document()
    found: dict[str, Facts] = {}
    for signal_id, entry in document["signals"].items():
        _put(found, _signal(document, signal_id, entry), signal_id, entry["name"])
    for family, entry in document["families"].items():
        members = sum(one["family"] == family for one in document["signals"].values())
        facts = (Fact("family", f"{family}, {entry['name']}"), Fact("stage", str(entry["stage"])),
                 Fact("signals in it", str(members)))  # fmt: skip
        told = f"{family} is the family of evidence “{entry['name']}”: stage {entry['stage']}, {members} signals."
        _put(found, Facts(family, facts, told), family, entry["name"])
    for chain, entry in document["chains"].items():
        facts = (Fact("chain", f"{chain}, {entry['name']}"), Fact("story", entry["story"]),
                 Fact("families of evidence it needs", str(entry["min_families"])))  # fmt: skip
        told = (
            f"{chain} is the chain “{entry['name']}”: {entry['story']}. "
            f"It takes evidence of at least {entry['min_families']} families."
        )
        _put(found, Facts(chain, facts, told), chain, entry["name"])
    for label, entry in document["labels"].items():
        sources = ", ".join(entry["source_types"])
        facts = (Fact("event type", label), Fact("read from", sources),
                 Fact("family left out of its own evidence", entry["family_left_out"]))  # fmt: skip
        told = f"{label} is an event type of the ground truth, read by rule from {sources}."
        _put(found, Facts(label, facts, told), label)
    for name, figure in FIGURES.items():
        better = "less is better" if figure.smaller_is_better else "more is better"
        facts = (Fact("figure", figure.label), Fact("meaning", figure.meaning), Fact("which way is good", better))
        _put(found, Facts(figure.label, facts, f"{figure.label}: {figure.meaning}; {better}."), name, figure.label)
    for kind, words in (("null", NULLS), ("evidence set", EVIDENCE)):
        for name, meaning in words.items():
            _put(found, Facts(meaning, (Fact(kind, meaning),), f"A {kind} of a report: {meaning}."), name, meaning)
    for name, (words_of, _) in GRADES.items():
        told = f"A report's verdict: {words_of[0].lower()}{words_of[1:]}."
        _put(found, Facts(words_of, (Fact("verdict", words_of),), told), name, words_of)
    for name, meaning in SCORE_FIGURES.items():
        subject = name.replace("_", " ")
        told = f"{subject[0].upper()}{subject[1:]}: {meaning}."
        _put(found, Facts(subject, (Fact("figure of a score", subject), Fact("meaning", meaning)), told), name)
    return found


def _put(found: dict[str, Facts], facts: Facts, *names: str) -> None:
    for name in names:
        found.setdefault(_plain(name), facts)


def _signal(document: Mapping[str, Any], signal_id: str, entry: Mapping[str, Any]) -> Facts:
    name = entry["name"].replace("_", " ")
    family = document["families"][entry["family"]]["name"]
    direction = _DIRECTIONS.get(entry["direction"], str(entry["direction"]).replace("_", " "))
    facts = [
        Fact("signal", f"{signal_id}, {name}"),
        Fact("family", f"{entry['family']}, {family}"),
        Fact("points", direction),
        Fact("tier", str(entry["tier"])),
        Fact("half-life", f"{entry['half_life_hours']:g} hours"),
        Fact("status", entry["status"]),
    ]
    told = (
        f"{signal_id} is the signal “{name}” of the family {entry['family']} ({family}); it points {direction}, is of "
        f"tier {entry['tier']} and counts for half after {entry['half_life_hours']:g} hours."
    )
    rule = document["rules"].get(signal_id)
    if rule:
        facts.append(Fact("rule", rule))
        told += f" Its rule: {rule}"
    return Facts(signal_id, tuple(facts), told)


def score_facts(stored: Mapping[str, Any]) -> Facts:
    """Return the facts of a stored score: a row of `score_samples`, or the document that `explain_run` gives.

    Its figures and counterfactuals are taken as they are stored; nothing is scored again here.
    """
    of_run = stored.get("schema", "").startswith("signaldelta.") and "score" in stored
    figures = stored["score"] if of_run else stored
    names = {family: entry["name"] for family, entry in default_document()["families"].items()}
    if of_run:
        names |= {item["family"]: item["name"] for item in stored["families"] if item["name"]}
        deltas = {item["family"]: item["magnitude"] for item in stored["families"]}
    else:
        deltas = {family: delta["magnitude"] for family, delta in stored["family_deltas"].items()}
    at = stored["at"] if isinstance(stored["at"], datetime) else datetime.fromisoformat(stored["at"])
    moment = f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    facts = [Fact("entity", str(stored["entity_id"])), Fact("at", moment)]
    if of_run:
        facts.append(Fact("run", str(stored["run"]["run_id"])) if "run" in stored else Fact("source", "a run"))
    facts += [Fact(name, f"{figures[name]:.3f}") for name in ("magnitude", "lean", "confidence")]
    facts += [
        Fact("legacy score", f"{figures['legacy_score']:.1f}"),
        Fact("verdict", figures["verdict"]),
        Fact("events behind it", str(figures["n_events"])),
    ]
    told = (
        f"{stored['entity_id']} at {moment}: verdict {figures['verdict']}, legacy score {figures['legacy_score']:.1f}, "
        f"magnitude {figures['magnitude']:.3f}, lean {figures['lean']:.3f}, confidence {figures['confidence']:.3f}, "
        f"from {figures['n_events']} events."
    )
    strongest = sorted(deltas.items(), key=lambda item: (-abs(item[1]), item[0]))[:_MOST_FAMILIES]
    for family, delta in strongest:
        facts.append(Fact(f"magnitude without {family} ({names.get(family, family)}) differs by", f"{0.0 - delta:.3f}"))
    if strongest:
        parts = ", ".join(f"{family} ({names.get(family, family)}) by {0.0 - d:.3f}" for family, d in strongest)
        told += f" The magnitude would differ without {parts}."
    if figures["n_events"]:
        chain, share = max(figures["chain_probabilities"].items(), key=lambda item: (item[1], item[0]))
        facts.append(Fact("likeliest chain", f"{chain} with probability {share:.3f}"))
        told += f" The likeliest chain is {chain}, with probability {share:.3f}."
    if of_run:
        alert = stored["alert"]
        fired = "fired" if alert["fired"] else "not fired"
        facts.append(Fact("alert", f"{fired}: alert score {alert['score']:.3f}, threshold {alert['threshold']:.3f}"))
        told += f" Alert {fired}: alert score {alert['score']:.3f}, threshold {alert['threshold']:.3f}."
    return Facts(f"score of {stored['entity_id']} at {moment}", tuple(facts), told)
