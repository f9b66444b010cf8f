"""The cast: fictitious issuers and their insiders."""

from __future__ import annotations

from dataclasses import dataclass

from .chance import Chance
from .plan import SimulationPlan


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST = _words(
    "James Mary Robert Patricia John Linda Michael Susan David Karen William Lisa Thomas Nancy Daniel Sandra Paul Carol"
)
_LAST = _words(
    "Abbott Barlow Carver Denholm Ellery Fairfax Garrow Hadley Ingram Jarvis Keating Lambert Merrill Norwood Osgood "
    "Prescott Quimby Radford Selwyn Thorpe Underhill Vance Whitmore Yardley Ashby Brandt Corbin Dunmore Everett Finch"
)
_NAMES = _words(
    "Alder Birch Cedar Dover Ember Falcon Granite Harbor Indigo Juniper Keystone Lumen Meridian North Orchard Pioneer "
    "Quarry Ridge Summit Timber Umber Valley Willow Xenon Yarrow Zephyr"
)
_TRADES = _words("Analytics Biosciences Circuits Dynamics Energy Foods Grid Holdings Instruments Logistics Materials")
_TITLES = (
    "Chief Executive Officer",
    "Chief Financial Officer",
    "Chief Operating Officer",
    "General Counsel",
    "Chief Accounting Officer",
    "",
    "",
    "",
    "",
)


@dataclass(frozen=True, slots=True)
class Person:
    """An insider: `title` is empty for a director."""

    cik: int
    first: str
    last: str
    title: str
    salutation: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A fictitious issuer. CIKs start at 9,000,000, beyond those the SEC has given out."""

    number: int
    cik: int
    ticker: str
    name: str
    year_end: int
    people: tuple[Person, ...]
    price: float
    volume: float
    sigma: float


def make_entity(plan: SimulationPlan, number: int) -> Entity:
    """Return the `number`-th entity of a plan."""
    chance = Chance(plan.seed, "entity", number)
    letters = chr(65 + number // 26 % 26) + chr(65 + number % 26)
    name = f"{_NAMES[number % len(_NAMES)]} {_TRADES[number // len(_NAMES) % len(_TRADES)]}"
    # More entities than pairs of words: a series letter keeps names apart.
    series = number // (len(_NAMES) * len(_TRADES))
    people = tuple(
        Person(9_500_000 + 10 * number + i, chance.pick(_FIRST), last, title, chance.pick(("Mr.", "Ms.", "Dr.")))
        for i, (last, title) in enumerate(zip(chance.sample(_LAST, len(_TITLES)), _TITLES, strict=True))
    )
    return Entity(
        number=number,
        cik=9_000_001 + number,
        # SIMAA to SIMZZ, then SINAA and on.
        ticker=f"SI{chr(77 + number // 676)}{letters}",
        name=f"{name} {chr(64 + series)} Inc." if series else f"{name} Inc.",
        year_end=12 if chance.happens(0.7) else chance.pick((3, 6, 9)),
        people=people,
        price=chance.uniform(18, 160),
        volume=chance.lognormal(900_000, 0.6),
        sigma=chance.uniform(0.012, 0.022),
    )
