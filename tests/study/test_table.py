"""The study's page says what its run found, and nothing that another run found."""

from __future__ import annotations

from typing import Any

from .study import Answer, Size
from .table import NULLS, document
from .worlds import QUESTIONS

SIZE = Size(noise=40, planted=40, replicates=1, draws=1)


def _answer(seed: int, question: str, lead: float | None, nulls: Any, figures: Any) -> Answer:
    return Answer(seed, lead is not None, question, lead, nulls, figures, "evaluated")


def _answers(*, small: int, missed: int) -> list[Answer]:
    """Archives of which the first `small` have p-values below 5 % and the first `missed` another lead."""
    made = []
    for seed in range(40):
        p = 0.01 if seed < small else 0.5
        nulls = {null: {"precision": (0.0, -0.1, 0.1, p), "auc": (0.0, -0.1, 0.1, 0.5)} for null in NULLS}
        made += [_answer(seed, question.name, None, nulls, {"auc": (0.5, 0.4, 0.6)}) for question in QUESTIONS]
        lead = (20.0, 19.0, 20.0) if seed < missed else (27.0, 24.0, 30.0)
        better = {null: {"precision": (0.3, 0.2, 0.4, 0.01)} for null in NULLS}
        made.append(_answer(100 + seed, "market", 30.0, better, {"lead_time_hours.median": lead}))
    return made


def test_what_is_wrong_is_said_where_it_was_found() -> None:
    found = document(_answers(small=12, missed=12), SIZE, "make study")
    assert "Single p-values are below 5 % more often than stated (first column): `precision` against random" in found
    assert "The middle of the lead is missed more often than stated" in found
    assert "More than 5: Holm on `precision`" in found and "`auc` against shifted_events (0" not in found


def test_what_was_not_found_is_not_said() -> None:
    found = document(_answers(small=1, missed=1), SIZE, "make study")
    assert "more often than stated" not in found.replace("no more often than stated", "")
    assert "Single p-values are below 5 % no more often than stated." in found
    assert "The middle of the lead is covered as stated." in found and "Neither method is above 5" in found
