"""What the collectors ask a node for: the head, headers, logs of a range, decimals, and the blocks of a day.

A block is final when it lies as deep as the confirmations ask. Answers about final blocks are kept under the name of
their call and read from the archive ever after, in whatever batch they once came.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from itertools import pairwise
from math import isqrt
from typing import Any

from signaldelta_assets.errors import RecordError

from ..base import ETHEREUM, CollectContext, Window
from ..transport import Fetched, UpstreamError
from .parsers import Header, parse_decimals, parse_header, parse_quantity
from .protocol import (
    CHAIN,
    HEAD,
    Call,
    RpcError,
    block_call,
    decimals_call,
    logs_call,
    on_the_wire,
    rate_limited,
    read_answers,
)

_MAINNET = 1
# Bodies of batches that are still looked into: one holds what a hundred calls asked for.
_OPEN_BODIES = 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node answered to one call, and the body it stands in."""

    fetched: Fetched
    value: Any


class Node:
    """One node during one run over a window of days."""

    def __init__(self, context: CollectContext, window: Window) -> None:
        self._transport, self._limits, self._counts = context.transport, context.chain, context.counts
        self._context = context
        self._midnights = [_midnight(day) for day in (*window.days(), window.end + timedelta(days=1))]
        # Headers that the search for days has seen: numbers ascending, and their times.
        self._seen: list[int] = []
        self._moments: dict[int, datetime] = {}
        self._bodies: dict[str, dict[str, Any]] = {}

    @cached_property
    def final(self) -> int:
        """The newest block that lies deep enough. Raises UpstreamError for a node of another chain."""
        answers = self.ask([CHAIN, HEAD])
        chain, head = (self._number(answers[call.name], call) for call in (CHAIN, HEAD))
        if chain != _MAINNET:
            raise UpstreamError(CHAIN.name, f"a node of chain {chain}, expected the main net")
        return head - self._limits.confirmations

    def headers(self, numbers: Sequence[int]) -> dict[int, tuple[Fetched, Header | RecordError]]:
        """Return the headers of these blocks. Raises UpstreamError where the node lacks one that it must have."""
        calls = {number: block_call(number, number <= self.final) for number in numbers}
        answers = self.ask(list(calls.values()))
        found: dict[int, tuple[Fetched, Header | RecordError]] = {}
        for number, call in calls.items():
            answer = answers[call.name]
            if answer.value is None or isinstance(answer.value, RpcError):
                raise UpstreamError(call.name, f"no such block: {answer.value}")
            try:
                found[number] = (answer.fetched, parse_header(answer.value, number))
            except RecordError as error:
                found[number] = (answer.fetched, error)
        return found

    def logs(
        self, first: int, last: int, addresses: Sequence[str], topics: Sequence[str]
    ) -> Iterator[tuple[Fetched, list[Any]]]:
        """Yield the logs of the blocks first to last, a list per answer, in the order of the chain.

        Ranges end at multiples of the largest range, so that another window asks for the same ones. A range that the
        node refuses as too wide, or for too many results, is narrowed. Raises UpstreamError.
        """
        width = self._limits.blocks_per_request
        edges = [first, *range((first // width + 1) * width, last + 1, width), last + 1]
        waiting = [(low, high - 1) for low, high in pairwise(edges)][::-1]
        while waiting:
            low, high = waiting.pop()
            call = logs_call(low, high, addresses, topics)
            answer = self.ask([call])[call.name]
            if isinstance(answer.value, RpcError):
                middle = answer.value.narrowed(low, high)
                if middle is None:
                    raise UpstreamError(call.name, str(answer.value))
                self._counts["ranges_narrowed"] += 1
                waiting += [(middle + 1, high), (low, middle)]
            elif isinstance(answer.value, list):
                yield answer.fetched, answer.value
            else:
                raise UpstreamError(call.name, f"expected a list of logs, found {type(answer.value).__name__}")

    def decimals(self, tokens: Sequence[str]) -> dict[str, int | None]:
        """Return the decimals of each token, None of one that does not say. Raises UpstreamError."""
        calls = {token: decimals_call(token) for token in dict.fromkeys(tokens)}
        answers = self.ask(list(calls.values()))
        found: dict[str, int | None] = {}
        for token, call in calls.items():
            value = answers[call.name].value
            if isinstance(value, RpcError) and not value.is_revert:
                raise UpstreamError(call.name, str(value))
            found[token] = parse_decimals(value)
        return found

    # --- days ---------------------------------------------------------------------------------------------------

    def blocks_of(self, day: date) -> tuple[int, int] | None:
        """Return the first and last final block of a UTC day, None where no block of it is final yet.

        The first time, all days of the window are looked up together. Raises UpstreamError.
        """
        self._look_up(self._midnights)
        first, after = (self._first_at(_midnight(at)) for at in (day, day + timedelta(days=1)))
        if first is None:
            return None
        if after is None:
            self._counts["days_not_complete"] += 1
        last = self.final if after is None else after - 1
        return (first, last) if first <= last else None

    def _first_at(self, moment: datetime) -> int | None:
        if self._moment(self.final) < moment:
            return None
        self._look_up([moment])
        return self._bracket(moment)[0]

    def _look_up(self, moments: Sequence[datetime]) -> None:
        """See the first final block at or after each moment, and the one before it.

        Times never fall, so the place between two headers is guessed by the share of the time and tried with probes
        at either side; where that does not halve what is left, the middle is tried besides. One round asks for the
        probes of all moments.
        """
        end = self._moment(self.final)
        open_moments = [moment for moment in moments if moment <= end]
        if open_moments and self._bracket(min(open_moments))[1] is None:
            self._reach(self._bracket(min(open_moments))[0], min(open_moments))
        widths: dict[datetime, int] = {}
        while open_moments:
            probes: set[int] = set()
            waiting: list[datetime] = []
            for moment in open_moments:
                above, below = self._bracket(moment)
                # Before the first block of all there is none.
                if below is None or above - below == 1:
                    continue
                waiting.append(moment)
                halved = above - below <= widths.get(moment, 2 * above) // 2
                widths[moment] = above - below
                probes |= self._probes(moment, above, below, halved)
            self._see(sorted(probes))
            open_moments = waiting

    def _probes(self, moment: datetime, above: int, below: int, halved: bool) -> set[int]:
        left, start, end = above - below, self._moments[below], self._moments[above]
        guess = below + int(left * ((moment - start) / (end - start)))
        reach = max(isqrt(left) // 2, 1)
        # Where slots are regular the guess is right, and its neighbour shows it.
        probes = {guess - reach, guess - 1, guess, guess + 1, guess + reach}
        if not halved:
            probes.add((below + above) // 2)
        return {probe for probe in probes if below < probe < above} or {(below + above) // 2}

    def _bracket(self, moment: datetime) -> tuple[int, int | None]:
        """Return the nearest seen blocks at or after `moment`, and before it, None where none was seen."""
        at = bisect_left(self._seen, moment, key=self._moments.__getitem__)
        return self._seen[at], self._seen[at - 1] if at else None

    def _reach(self, number: int, moment: datetime) -> None:
        """See a block before `moment`, which lies before block `number`.

        A step that leads before what the node has is halved: an archive need not begin with the first block.
        """
        # Blocks have never come faster than one in twelve seconds for long.
        step = int((self._moment(number) - moment).total_seconds()) // 12 + 1
        while step:
            call = block_call(number - step, True)
            if number - step < 0 or self.ask([call])[call.name].value is None:
                step //= 2
                continue
            number -= step
            if self._moment(number) < moment:
                return
        if number == 0:
            return
        raise UpstreamError(block_call(number, True).name, f"the node has no block before {moment.isoformat()}")

    def _moment(self, number: int) -> datetime:
        if number not in self._moments:
            self._see([number])
        return self._moments[number]

    def _see(self, numbers: Sequence[int]) -> None:
        for number, (_, header) in self.headers(numbers).items():
            if isinstance(header, RecordError):
                # Without the times of blocks there are no days.
                raise UpstreamError(header.record, str(header))
            if number not in self._moments:
                self._moments[number] = header.moment
                insort(self._seen, number)

    # --- calls --------------------------------------------------------------------------------------------------

    def ask(self, calls: Sequence[Call]) -> dict[str, Answer]:
        """Return the answer to every call by its name: what is final and known from the archive, the rest in batches.

        Errors of the protocol are values, beside rate limits, which are waited for. Raises UpstreamError.
        """
        found: dict[str, Answer] = {}
        for name, fetched in self._transport.recall([call.name for call in calls if call.final]).items():
            found[name] = Answer(fetched, self._open(fetched)[name])
        asked = [call for call in calls if call.name not in found]
        size = self._limits.calls_per_request
        for at in range(0, len(asked), size):
            found |= self._batch(asked[at : at + size])
        return found

    def _batch(self, calls: Sequence[Call]) -> dict[str, Answer]:
        fetched = self._transport.post(ETHEREUM, on_the_wire(calls), calls[0].name, rate_limited)
        self._context.upstream_answered()
        values = self._open(fetched)
        if "" in values:
            raise UpstreamError(calls[0].name, f"batch of {len(calls)}: {values['']}")
        missing = [call.name for call in calls if call.name not in values]
        if missing:
            raise UpstreamError(missing[0], "no answer in the batch")
        # A null is a block or a log that the node does not have yet; an error may pass, but a contract's own refusal.
        lasting = [
            call.name for call in calls if call.final and values[call.name] is not None and _lasts(values[call.name])
        ]
        self._transport.remember(fetched, lasting)
        return {call.name: Answer(fetched, values[call.name]) for call in calls}

    def _open(self, fetched: Fetched) -> dict[str, Any]:
        if fetched.body_hash not in self._bodies:
            try:
                answers = read_answers(fetched.body, fetched.url)
            except RecordError as error:
                raise UpstreamError(fetched.url, str(error)) from error
            while len(self._bodies) >= _OPEN_BODIES:
                del self._bodies[next(iter(self._bodies))]
            self._bodies[fetched.body_hash] = answers
        return self._bodies[fetched.body_hash]

    def _number(self, answer: Answer, call: Call) -> int:
        try:
            return parse_quantity(answer.value, call.name)
        except RecordError as error:
            raise UpstreamError(call.name, str(error)) from error


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)


def _lasts(value: Any) -> bool:
    return value.is_revert if isinstance(value, RpcError) else True
