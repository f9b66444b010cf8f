"""What an explanation looks like."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Schema


class Fact(Schema):
    """One of the facts an explanation was made from, and its figures held against."""

    name: str = Field(examples=["half-life"])
    text: str = Field(examples=["720 hours"])


class Explanation(Schema):
    """An explanation in words. Every figure in it occurs in `facts`."""

    subject: str = Field(examples=["S001"])
    text: str = Field(examples=["S001 is the signal “insider opportunistic buy”; it counts for half after 720 hours."])
    made_by: Literal["model", "template"] = Field(examples=["template"])
    model: str | None = Field(None, description="The model whose words these are.", examples=["gpt-4o-mini"])
    why_template: Literal["off", "no_route", "becomes_job", "budget", "failed", "figures"] | None = Field(
        None,
        description="Why no model's words are shown: there is none or none with a key; today's budget; it failed; its "
        "answer had figures that the facts do not have.",
        examples=["no_route"],
    )
    facts: list[Fact]


class ExplanationAnswer(Schema):
    """One explanation."""

    data: Explanation
