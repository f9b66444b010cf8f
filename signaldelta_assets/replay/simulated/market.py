"""Simulated prices and announcements: raw daily bars with splits, earnings in the vendor's shape."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from . import days
from .chance import Chance, exponential
from .plan import SimulationPlan
from .story import Story

# Long enough before the window for any look-back of the daily-bar signals (120 sessions and more).
_WARM_UP = timedelta(days=420)
# One entity in so many has a split inside the window.
_SPLIT_EVERY = 50
Bar = tuple[date, float, float, float, float, int]


def market_returns(plan: SimulationPlan) -> dict[date, float]:
    """Return the common part of every entity's return, by session, over warm-up and window."""
    chance = Chance(plan.seed, "market")
    return {day: 0.006 * chance.normal() for day in days.sessions(plan.start - _WARM_UP, plan.end)}


def split_of(plan: SimulationPlan, story: Story) -> tuple[date, int] | None:
    """Return day and ratio of an entity's split, or None."""
    number = story.entity.number
    if number % _SPLIT_EVERY != _SPLIT_EVERY - 1:
        return None
    chance = Chance(plan.seed, "split", number)
    day = plan.start + timedelta(days=chance.integer(60, plan.days - 30))
    return days.on_or_after(day, "session"), chance.pick((2, 3))


def daily_bars(plan: SimulationPlan, story: Story, market: dict[date, float]) -> list[Bar]:
    """Return the bars of one entity as traded: before a split prices are higher and volumes lower by its ratio."""
    entity, chance = story.entity, Chance(plan.seed, "bars", story.entity.number)
    shocks = {shock.session: shock for shock in story.shocks}
    split = split_of(plan, story)
    bars: list[Bar] = []
    close = entity.price
    for day, common in market.items():
        shock = shocks.get(day)
        own = shock.sigmas if shock else chance.normal()
        before = close
        close = before * exponential(common + entity.sigma * own)
        opened = before * (1 + 0.25 * (close / before - 1) + 0.003 * chance.normal())
        high = max(opened, close) * (1 + 0.004 * chance.uniform(0, 2))
        low = min(opened, close) * (1 - 0.004 * chance.uniform(0, 2))
        volume = entity.volume * chance.lognormal(1.0, 0.28) * (shock.volume if shock else 1.0)
        ratio = split[1] if split and day < split[0] else 1
        prices = [round(price * ratio, 2) for price in (opened, high, low, close)]
        bars.append((day, prices[0], prices[1], prices[2], prices[3], int(volume / ratio)))
    return bars


def bars_csv(bars: list[Bar]) -> str:
    """Return bars as the text of a price file."""
    lines = ["Date,Open,High,Low,Close,Volume"]
    lines += [f"{day},{o:.2f},{h:.2f},{low:.2f},{c:.2f},{v}" for day, o, h, low, c, v in bars]
    return "\n".join(lines) + "\n"


def earnings(plan: SimulationPlan, story: Story) -> list[dict[str, Any]]:
    """Return one entity's announcements, those before the window too, as the vendor's records."""
    results = []
    for count, item in enumerate(story.announcements):
        moment = days.utc(item.released)
        chance = Chance(plan.seed, "vendor", story.entity.number, count)
        results.append(
            {
                "actual_eps": item.actual,
                "benzinga_id": f"{chance.integer(0, 16**12 - 1):012x}{story.entity.cik:08x}{count:04x}",
                "company_name": story.entity.name,
                "currency": "USD",
                "date": moment.date().isoformat(),
                "date_status": "confirmed",
                "eps_method": "adj",
                "eps_surprise": round(item.actual - item.estimate, 4),
                "eps_surprise_percent": round(100 * (item.actual - item.estimate) / abs(item.estimate), 4),
                "estimated_eps": item.estimate,
                "fiscal_period": f"Q{item.fiscal_quarter}",
                "fiscal_year": item.fiscal_year,
                "importance": chance.integer(0, 5),
                "last_updated": days.stamp(moment + timedelta(minutes=chance.integer(5, 90))),
                "ticker": story.entity.ticker,
                "time": f"{moment:%H:%M:%S}",
            }
        )
    return results
