"""Streams of what changes: one reader for all, only what is new, an end, and no room for more than may be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

import pytest

from api import live
from api.live import Feed, State
from api.problems import ProblemError


async def _told(feed: Feed, key: str, seen: str | None = None) -> list[tuple[object, str | None]]:
    with feed.room(key):
        return [(event.data, event.id) async for event in feed.follow(key, seen) if event.id is not None]


def _counting(last: int) -> tuple[Callable[[frozenset[str]], Mapping[str, State]], list[frozenset[str]]]:
    asked: list[frozenset[str]] = []

    def read(keys: frozenset[str]) -> dict[str, State]:
        asked.append(keys)
        step = min(len(asked) // 2, last)  # each state is read twice
        return {key: State({"key": key, "step": step}, final=step == last) for key in keys}

    return read, asked


def test_all_who_follow_share_one_reader_and_are_told_each_state_once() -> None:
    read, asked = _counting(3)
    feed = Feed(read, every_seconds=0.02)

    async def run() -> list[list[tuple[object, str | None]]]:
        return await asyncio.gather(*(_told(feed, key) for key in ("a", "a", "b")))

    first, second, other = asyncio.run(run())
    assert first == second
    assert [data["step"] for data, _ in first] == [0, 1, 2, 3]  # type: ignore[index]
    assert [data["key"] for data, _ in other] == ["b"] * 4  # type: ignore[index]
    assert len(asked) <= 8 and asked[0] == {"a", "b"}
    assert not feed._followed


def test_who_comes_again_is_told_only_what_is_new() -> None:
    def read(keys: frozenset[str]) -> dict[str, State]:
        return {key: State({"step": 1}, final=True) for key in keys}

    known = State({"step": 1}).version
    assert asyncio.run(_told(Feed(read, every_seconds=0.01), "a", known)) == []
    assert len(asyncio.run(_told(Feed(read, every_seconds=0.01), "a", "older"))) == 1


def test_a_stream_ends_after_its_longest_time() -> None:
    feed = Feed(lambda keys: {key: State({"step": 1}) for key in keys}, every_seconds=0.02, longest_seconds=0.3)
    assert [data for data, _ in asyncio.run(_told(feed, "a"))] == [{"step": 1}]


def test_a_reader_that_fails_is_asked_again() -> None:
    calls = 0

    def read(keys: frozenset[str]) -> dict[str, State]:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ConnectionError("the database is away")
        return {key: State({"step": 1}, final=True) for key in keys}

    assert [data for data, _ in asyncio.run(_told(Feed(read, every_seconds=0.02), "a"))] == [{"step": 1}]


def test_no_more_follow_than_may() -> None:
    feed = Feed(lambda keys: {}, every_seconds=0.02, most=1, longest_seconds=0.1)

    async def run() -> None:
        followed = asyncio.create_task(_told(feed, "a"))
        await asyncio.sleep(0.02)
        with pytest.raises(ProblemError, match="as many as may be"), feed.room("b"):
            pass
        await followed
        with feed.room("b"):
            assert feed._followed == {"b": 1}

    asyncio.run(run())


def test_one_caller_leaves_room_for_the_others() -> None:
    feed = Feed(lambda keys: {}, most=4, most_of_one=2)
    with feed.room("a", caller="one"), feed.room("b", caller="one"):
        with pytest.raises(ProblemError, match="of yours are open, as many as may be"), feed.room("c", caller="one"):
            pass
        with feed.room("a", caller="two"), feed.room("a"):
            pass
        assert feed._followed == {"a": 1, "b": 1}
    with feed.room("a", caller="one"):
        pass
    assert not feed._followed and not feed._callers


def test_what_a_state_is_called_is_made_once_for_all_who_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """And by the reader's thread: in the loop it would keep every other request waiting."""
    named: list[bool] = []
    hashing = live.hash_document

    def counted(document: dict[str, object]) -> str:
        named.append(threading.current_thread() is threading.main_thread())
        return hashing(document)

    monkeypatch.setattr(live, "hash_document", counted)
    turns = 0

    def read(keys: frozenset[str]) -> dict[str, State]:
        nonlocal turns
        turns += 1
        return {key: State({"key": key}, final=turns == 3) for key in keys}

    feed = Feed(read, every_seconds=0.02)

    async def run() -> None:
        await asyncio.gather(*(_told(feed, "a") for _ in range(20)))

    asyncio.run(run())
    assert named == [False] * turns
