"""What happens to one entity: announcements, filings, insider trades, departures, deals, shocks to its price.

Here is the plot, without any format. The writers of the other modules turn it into upstream documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from . import days
from .cast import Entity, Person
from .chance import Chance
from .plan import Effect, SimulationPlan

_HISTORY = timedelta(days=900)


@dataclass(frozen=True, slots=True)
class Announcement:
    """Quarterly earnings: the release (Eastern), estimate and actual per share, the fiscal quarter."""

    released: datetime
    estimate: float
    actual: float
    quarter_end: date
    fiscal_year: int
    fiscal_quarter: int

    @property
    def surprise(self) -> str:
        """`positive`, `negative` or empty, by the label's rule (signals.md section 5)."""
        gap = round(self.actual - self.estimate, 4)
        if abs(gap) < 0.02 or abs(gap) / max(abs(self.estimate), 0.05) < 0.10:
            return ""
        return "positive" if gap > 0 else "negative"


@dataclass(frozen=True, slots=True)
class Report:
    """A filing with form, Eastern acceptance, what it reports on, and for an 8-K its items and kind of text."""

    form: str
    accepted: datetime
    about: date
    items: tuple[str, ...] = ()
    kind: str = ""
    people: tuple[Person, ...] = ()
    announcement: Announcement | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """One ownership report: owners who file together, one line of code P, S, A, F or M."""

    accepted: datetime
    traded: date
    owners: tuple[Person, ...]
    code: str
    value: float
    plan: bool = False


@dataclass(frozen=True, slots=True)
class Shock:
    """A move of one session: in standard deviations, with a multiple of the usual volume."""

    session: date
    sigmas: float
    volume: float


@dataclass(frozen=True, slots=True)
class Lead:
    """A planted pair: when each signal was to be seen, and the event it precedes."""

    signals: tuple[tuple[str, datetime], ...]
    event_type: str
    event: datetime


@dataclass(slots=True)
class Story:
    """Everything that happens to one entity, in no particular order, and what of it was planted."""

    entity: Entity
    announcements: list[Announcement] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    outsiders: list[Report] = field(default_factory=list)
    shocks: list[Shock] = field(default_factory=list)
    leads: list[Lead] = field(default_factory=list)
    events: list[tuple[str, str, datetime]] = field(default_factory=list)
    noise: list[tuple[str, str, datetime]] = field(default_factory=list)


def tell(plan: SimulationPlan, entity: Entity) -> Story:
    """Return the story of one entity: a pure function of plan and entity."""
    story = Story(entity)
    _earnings(plan, story)
    _insiders(plan, story)
    _deals(plan, story)
    _departures(plan, story)
    _routine(plan, story)
    _outsiders(plan, story)
    story.reports.sort(key=lambda report: report.accepted)
    story.trades.sort(key=lambda trade: trade.accepted)
    _herding(story)
    return story


def _quarter_ends(entity: Entity, first: date, last: date) -> Iterator[tuple[date, int, int]]:
    """(quarter end, fiscal year, fiscal quarter) from `first` to `last`."""
    for year in range(first.year - 1, last.year + 1):
        for month in (3, 6, 9, 12):
            end = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
            if first <= end <= last:
                quarter = ((month - entity.year_end - 1) % 12) // 3 + 1
                yield end, year + (month > entity.year_end), quarter


def _earnings(plan: SimulationPlan, story: Story) -> None:
    """Quarterly results with their 8-K (item 2.02), the 10-Q or 10-K after it, and now and then a late notice."""
    entity, chance = story.entity, Chance(plan.seed, "earnings", story.entity.number)
    level = chance.uniform(0.5, 2.5)
    for count, (end, year, quarter) in enumerate(_quarter_ends(entity, plan.start - _HISTORY, plan.end)):
        level = max(level * (1 + 0.04 * chance.normal()), 0.45)
        released = days.release_time(days.on_or_after(end + timedelta(days=chance.integer(23, 40))), chance)
        estimate = round(level, 2)
        relative = chance.uniform(-0.06, 0.06)
        if chance.happens(plan.surprise_share):
            relative = chance.uniform(0.13, 0.55) * (1 if chance.happens(plan.positive_share) else -1)
        actual = round(estimate * (1 + relative), 2)
        announcement = Announcement(released, estimate, actual, end, year, quarter)
        if released.date() > plan.end:
            continue
        story.announcements.append(announcement)
        live = released.date() >= plan.start
        if live:
            accepted = released + timedelta(minutes=chance.integer(2, 25), seconds=chance.integer(0, 59))
            items = ("2.02", "9.01")
            story.reports.append(Report("8-K", accepted, released.date(), items, "results", (), announcement))
            if announcement.surprise:
                story.events.append(("EARNINGS_SURPRISE", announcement.surprise, released))
                sign = 1 if announcement.surprise == "positive" else -1
                reaction = released.date() if released.hour < 12 else released.date() + timedelta(days=1)
                session = days.on_or_after(reaction, "session")
                story.shocks.append(Shock(session, sign * chance.uniform(1.5, 3.5), chance.uniform(2.0, 3.5)))
        form = "10-K" if quarter == 4 else "10-Q"
        day = days.on_or_after(released.date() + timedelta(days=chance.integer(1, 9) + (15 if quarter == 4 else 0)))
        if live and chance.happens(0.08):
            notice = days.on_or_after(end + timedelta(days=chance.integer(46, 48)))
            day = days.on_or_after(notice + timedelta(days=chance.integer(5, 20)))
            if notice <= plan.end:
                accepted = days.office_time(notice, chance)
                story.reports.append(Report(f"NT {form}", accepted, end))
                story.noise.append(("S016", "late notice, followed by nothing", accepted))
        if day <= plan.end:
            # The first ones are late in the day for sure: a file without such a row cannot tell its clock.
            late = 1.0 if count < 3 else 0.25
            story.reports.append(Report(form, days.office_time(day, chance, late), end))


def _lead(effect: Effect, chance: Chance) -> timedelta:
    lead = chance.lognormal(effect.median_days, effect.spread)
    return timedelta(days=min(max(lead, effect.shortest), effect.longest))


def _report_of(moment: datetime, chance: Chance) -> datetime:
    """An acceptance time on the business day of `moment`, or the last one before it."""
    return days.ownership_time(days.on_or_before(moment.date()), chance)


def _buy(story: Story, accepted: datetime, owners: tuple[Person, ...], chance: Chance) -> None:
    traded = days.on_or_before(accepted.date() - timedelta(days=chance.integer(1, 2)), "session")
    story.trades.append(Trade(accepted, traded, owners, "P", chance.uniform(40_000, 700_000)))


def _cluster(story: Story, first: datetime, last: datetime, chance: Chance) -> list[datetime]:
    """Purchases by two or three insiders, the first accepted near `first`, the others before `last`."""
    people = chance.sample(story.entity.people, 4)
    groups: list[tuple[Person, ...]] = [(people[0],), (people[1],)]
    if chance.happens(0.5):
        groups.append((people[2],))
    if chance.happens(0.15):
        # Two owners who report jointly are one group.
        groups[0] = (people[0], people[3])
    accepted = [_report_of(first, chance)]
    for _ in groups[1:]:
        accepted.append(_report_of(first + (last - first) * chance.uniform(0.1, 0.8), chance))
    for moment, owners in zip(accepted, groups, strict=True):
        _buy(story, moment, owners, chance)
    return sorted(accepted)


def _insiders(plan: SimulationPlan, story: Story) -> None:
    """Clusters of purchases before some positive surprises, a few for nothing, and trades that mean nothing."""
    effect, chance = plan.insider_buys, Chance(plan.seed, "insiders", story.entity.number)
    window = datetime.combine(plan.start, datetime.min.time())
    for announcement in story.announcements:
        event = announcement.released
        if event.date() < plan.start:
            continue
        first = event - _lead(effect, chance)
        planted = announcement.surprise == "positive" and chance.happens(effect.share)
        decoy = announcement.surprise != "positive" and chance.happens(effect.decoys)
        if (planted or decoy) and first - timedelta(days=5) > window:
            seen = _cluster(story, first, event - timedelta(days=1), chance)
            if planted and seen[1] < event:
                signals = tuple(zip(effect.signals, seen[:2], strict=True))
                story.leads.append(Lead(signals, effect.event_type, event))
            elif decoy:
                story.noise.append(("S003", "purchases without a positive surprise", seen[1]))
    years = plan.days / 365
    for code, rate in (("P", 0.25), ("S", 2.0), ("A", 1.0), ("F", 1.5), ("M", 0.5)):
        for _ in range(chance.times(rate * years)):
            traded = days.on_or_after(plan.start + timedelta(days=chance.integer(5, plan.days - 12)), "session")
            late = chance.integer(5, 20) if chance.happens(0.05) else chance.integer(1, 2)
            accepted = days.ownership_time(days.after(traded, late), chance)
            if accepted.date() > plan.end:
                continue
            value = chance.uniform(120_000, 2_500_000) if code == "S" else chance.uniform(30_000, 400_000)
            owner = chance.pick(story.entity.people)
            scheduled = code == "S" and chance.happens(0.5)
            story.trades.append(Trade(accepted, traded, (owner,), code, value, scheduled))
            if code in "PS" and not scheduled:
                story.noise.append(("S001" if code == "P" else "S002", "trade without meaning", accepted))


def _deals(plan: SimulationPlan, story: Story) -> None:
    """A merger agreement for some, a run in price and volume before most of those, runs for nothing for all."""
    effect, chance = plan.deal_run, Chance(plan.seed, "deals", story.entity.number)
    taken: list[date] = [shock.session for shock in story.shocks]

    def run(day: date, sign: int) -> datetime | None:
        session = days.on_or_before(day, "session")
        # Inside another shock's shadow a trigger would not fire again, or would fire for the other.
        if days.is_short(session) or session < plan.start or any(abs((session - other).days) <= 9 for other in taken):
            return None
        taken.append(session)
        story.shocks.append(Shock(session, sign * chance.uniform(3.8, 5.5), chance.uniform(5.0, 9.0)))
        return datetime.combine(session, datetime.min.time()) + timedelta(hours=16)

    if chance.happens(plan.deal_share):
        day = days.on_or_after(plan.start + timedelta(days=chance.integer(40, plan.days - 10)))
        event = datetime.combine(day, datetime.min.time()) + timedelta(seconds=chance.integer(7 * 3600, 9 * 3600))
        role = chance.pick(("target", "acquirer"))
        items = ("1.01", "7.01", "9.01") if chance.happens(0.5) else ("1.01", "9.01")
        story.reports.append(Report("8-K", event, day, items, role))
        story.events.append(("MNA_ANNOUNCEMENT", role, event))
        planted = chance.happens(effect.share)
        seen = run((event - _lead(effect, chance)).date(), 1) if planted else None
        if seen is not None and seen < event:
            story.leads.append(Lead(tuple((signal, seen) for signal in effect.signals), effect.event_type, event))
        session = days.on_or_after(day, "session")
        taken.append(session)
        sigmas = chance.uniform(8, 15) if role == "target" else chance.uniform(-4, 2)
        story.shocks.append(Shock(session, sigmas, chance.uniform(6, 10)))
    for _ in range(chance.times(effect.decoys * plan.days / 365)):
        day = plan.start + timedelta(days=chance.integer(20, plan.days - 20))
        seen = run(day, chance.pick((-1, 1)))
        if seen is not None:
            story.noise.append(("S064", "run without a deal", seen))


def _departures(plan: SimulationPlan, story: Story) -> None:
    """Three or four people leaving within 30 days for some entities, led by nothing; single departures for others."""
    chance = Chance(plan.seed, "departures", story.entity.number)
    if chance.happens(plan.collapse_share):
        first = plan.start + timedelta(days=chance.integer(20, plan.days - 40))
        leaving = chance.sample(story.entity.people, chance.integer(3, 4))
        # Never two on one day: a filing is one departure, sometimes two.
        offsets = sorted(chance.sample(range(0, 27, 4), len(leaving) - 1))
        groups = [(leaving[0], leaving[1]), *[(person,) for person in leaving[2:]]]
        last, gone = None, 0
        for offset, group in zip(offsets, groups, strict=True):
            day = days.on_or_after(first + timedelta(days=offset))
            accepted = days.office_time(day, chance, late=0.4)
            story.reports.append(Report("8-K", accepted, day, ("5.02",), "departure", group))
            gone += len(group)
            last = accepted if last is None and gone >= 3 else last
        if last is not None:
            story.events.append(("GOVERNANCE_COLLAPSE", "departures", last))
    elif chance.happens(0.35):
        day = days.on_or_after(plan.start + timedelta(days=chance.integer(5, plan.days - 5)))
        accepted = days.office_time(day, chance, late=0.4)
        story.reports.append(Report("8-K", accepted, day, ("5.02",), "departure", (chance.pick(story.entity.people),)))
        story.noise.append(("S039", "one departure", accepted))


# (kind of text, items, rate per year, the signal it trips for nothing)
_ROUTINE = (
    ("contract", ("1.01",), 0.5, "S033"),
    ("credit", ("1.01", "2.03", "9.01"), 0.35, "S033"),
    ("other", ("8.01", "9.01"), 0.8, ""),
    ("investors", ("7.01", "9.01"), 0.4, ""),
    ("meeting", ("5.07",), 0.8, ""),
    ("election", ("5.02",), 0.25, ""),
    ("closure", ("2.05",), 0.08, "S035"),
    ("lapse", ("1.02",), 0.08, "S034"),
    ("rights", ("3.03", "9.01"), 0.05, "S040"),
)


def _routine(plan: SimulationPlan, story: Story) -> None:
    """Filings that come and go and mean nothing; stakes of outsiders; corrected quarterly reports."""
    chance = Chance(plan.seed, "routine", story.entity.number)
    years = plan.days / 365

    def some_day() -> date:
        return days.on_or_after(plan.start + timedelta(days=chance.integer(1, plan.days - 7)))

    for kind, items, rate, signal in _ROUTINE:
        for _ in range(chance.times(rate * years)):
            day = some_day()
            accepted = days.office_time(day, chance)
            who = (chance.pick(story.entity.people),) if kind == "election" else ()
            story.reports.append(Report("8-K", accepted, day, items, kind, who))
            if signal:
                story.noise.append((signal, kind, accepted))
    for form, rate, signal in (("SCHEDULE 13D", 0.06, "S011"), ("10-Q/A", 0.05, "S017")):
        for _ in range(chance.times(rate * years)):
            day = some_day()
            accepted = days.office_time(day, chance)
            story.reports.append(Report(form, accepted, day))
            story.noise.append((signal, form, accepted))


# (form, rate per year, the signal it would trip) of filings by holders, sellers and bidders, which lead nothing.
_OUTSIDERS = (
    ("SCHEDULE 13D/A", 0.05, "S012"),
    ("SCHEDULE 13G", 1.0, "S013"),
    ("144", 1.0, "S009"),
    ("SC TO-T", 0.04, "S038"),
)


def _outsiders(plan: SimulationPlan, story: Story) -> None:
    """Filings about the company by others. A chance of their own, so that nothing else moves with them."""
    chance = Chance(plan.seed, "outsiders", story.entity.number)
    for form, rate, signal in _OUTSIDERS:
        for _ in range(chance.times(rate * plan.days / 365)):
            # To the last day: the feed of current filings shows no more than the days before the end.
            day = days.on_or_before(plan.start + timedelta(days=chance.integer(7, plan.days)))
            accepted = days.office_time(day, chance)
            who = (chance.pick(story.entity.people),) if form == "144" else ()
            if form == "SC TO-T" and _agreed_before(story, day):
                continue
            story.outsiders.append(Report(form, accepted, day, people=who))
            story.noise.append((signal, form, accepted))


def _agreed_before(story: Story, day: date) -> bool:
    """True where a bid would make a deal's announcement of whatever agreement was told in the weeks before it."""
    return any("1.01" in report.items and 0 <= (day - report.accepted.date()).days <= 21 for report in story.reports)


def _herding(story: Story) -> None:
    """Note where three groups bought, or sold at their own choice, within 30 days: a label by its own rule."""
    for code, subtype in (("P", "buy_cluster"), ("S", "sell_cluster")):
        recent: list[Trade] = []
        quiet_until = story.trades[0].accepted if story.trades else None
        for trade in story.trades:
            if trade.code != code or trade.plan:
                continue
            recent = [other for other in recent if trade.accepted - other.accepted <= timedelta(days=30)] + [trade]
            groups = {tuple(sorted(person.cik for person in other.owners)) for other in recent}
            if len(groups) >= 3 and quiet_until is not None and trade.accepted >= quiet_until:
                story.events.append(("INSIDER_TRADING_DISCLOSURE", subtype, trade.accepted))
                quiet_until = trade.accepted + timedelta(days=30)
