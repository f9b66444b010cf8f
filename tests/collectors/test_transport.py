"""The transport: what each fault comes to, conditional requests, the archive, keys; and the limit over processes."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from signaldelta_assets.collectors import (
    ALWAYS_FINAL,
    FixedClock,
    Limiter,
    SharedLimiter,
    Transport,
    Upstream,
    UpstreamError,
    open_transport,
)
from signaldelta_assets.replay.server import ReplayServer
from signaldelta_assets.versioning import new_ulid, sha256_hex
from signaldelta_assets.warehouse import ArtifactStore, Warehouse
from signaldelta_assets.warehouse.stores import collection
from signaldelta_assets.warehouse.stores.collection import BatchRows, hold_slots, write_batch
from tests.collectors.conftest import OBSERVED, settings_for
from tests.paths import needs_data

pytestmark = pytest.mark.postgres

SUBMISSIONS = "/submissions/CIK0001045810.json"


class Recorder:
    """A limiter that counts and notes what it was asked to hold."""

    def __init__(self) -> None:
        self.acquired = 0
        self.held: list[float] = []

    def acquire(self) -> None:
        self.acquired += 1

    def hold(self, seconds: float) -> None:
        self.held.append(seconds)


Handler = Callable[[httpx.Request], httpx.Response]


class Bench:
    """A transport over a scripted upstream, with what it slept and asked."""

    def __init__(self, handler: Handler, warehouse: Warehouse, archive: ArtifactStore, **more: Any) -> None:
        self.slept: list[float] = []
        self.requests: list[httpx.Request] = []
        self.limiter = Recorder()
        self.warehouse = warehouse
        limiter: Limiter = self.limiter

        def noted(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return handler(request)

        upstream = Upstream("up", "http://inside:1/host", "https://public", {"Authorization": "Bearer k3y"}, limiter)
        self.transport = Transport(
            httpx.Client(transport=httpx.MockTransport(noted)),
            archive,
            warehouse,
            {"up": upstream},
            FixedClock(OBSERVED),
            attempts=4,
            sleep=self.slept.append,
            **more,
        )

    def save(self) -> None:
        """Write what is pending, as a run does."""
        documents, validators = self.transport.drain()
        absences = self.transport.drain_absences()
        write_batch(self.warehouse, "", "test", BatchRows(documents, validators, absences=absences))


@pytest.fixture
def bench(warehouse: Warehouse, archive: ArtifactStore) -> Callable[..., Bench]:
    return lambda handler, **more: Bench(handler, warehouse, archive, **more)


def script(*answers: httpx.Response | Exception) -> Handler:
    rest: Iterator[httpx.Response | Exception] = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        now = next(rest)
        if isinstance(now, Exception):
            raise now
        return now

    return answer


def test_a_body_is_archived_under_its_hash_and_its_public_url(
    bench: Callable[..., Bench], archive: ArtifactStore
) -> None:
    one = bench(script(httpx.Response(200, content=b"first", headers={"content-type": "text/plain"})))
    fetched = one.transport.get("up", "/a", {"q": "1"})
    assert fetched is not None
    assert (fetched.body, fetched.body_hash, fetched.observed_time) == (b"first", sha256_hex(b"first"), OBSERVED)
    assert archive.read_bytes(fetched.body_hash) == b"first"
    assert str(one.requests[0].url) == "http://inside:1/host/a?q=1"
    assert one.requests[0].headers["authorization"] == "Bearer k3y"
    ((document,), (validator,)) = one.transport.drain()
    assert (document.source_url, document.media_type) == ("https://public/a?q=1", "text/plain")
    assert "k3y" not in repr(fetched) + repr(document) + repr(validator)
    assert one.transport.drain() == ([], [])


def test_what_is_known_of_announced_documents_is_looked_up_at_once(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench(script(httpx.Response(200, content=b"first"), httpx.Response(404), httpx.Response(200, content=b"new")))
    for path in ("/a", "/b"):
        one.transport.get("up", path, final_after=ALWAYS_FINAL)
    one.save()
    asked: list[list[str]] = []
    original = collection.find_known

    def noted(warehouse: Warehouse, urls: list[str]) -> Any:
        asked.append(urls)
        return original(warehouse, urls)

    monkeypatch.setattr(collection, "find_known", noted)
    one.transport.expect("up", ["/a", "/b", "/c"])
    found = [one.transport.get("up", path, final_after=ALWAYS_FINAL) for path in ("/a", "/b", "/c")]
    assert [None if each is None else (each.body, each.from_archive) for each in found] == [
        (b"first", True), None, (b"new", False)]  # fmt: skip
    # The first is here and the second was not there a moment ago: the third alone is asked for.
    assert len(one.requests) == 3 and one.transport.counts["known_absent"] == 1
    assert asked == [["https://public/a", "https://public/b", "https://public/c"]]
    # Looked up once is used once: what came since is seen.
    one.save()
    again = one.transport.get("up", "/c", final_after=ALWAYS_FINAL)
    assert again is not None and again.from_archive and len(asked) == 2


@pytest.mark.parametrize("status", [404, 410])
def test_absent_is_an_answer(bench: Callable[..., Bench], status: int) -> None:
    one = bench(script(httpx.Response(status)))
    assert one.transport.get("up", "/none") is None
    assert one.transport.counts["absent"] == 1
    assert one.slept == []


def test_429_waits_as_asked_and_holds_every_process(bench: Callable[..., Bench]) -> None:
    one = bench(
        script(
            httpx.Response(429, headers={"retry-after": "17"}),
            httpx.Response(
                429, headers={"retry-after": f"{OBSERVED + timedelta(seconds=33):%a, %d %b %Y %H:%M:%S GMT}"}
            ),
            httpx.Response(200, content=b"x"),
        )
    )
    assert one.transport.get("up", "/busy") is not None
    assert one.slept == [17.0, 33.0]
    assert one.limiter.held == [17.0, 33.0]
    # Every attempt takes a slot of its own.
    assert one.limiter.acquired == 3


def test_server_errors_and_cut_connections_are_tried_again_with_growing_waits(bench: Callable[..., Bench]) -> None:
    one = bench(
        script(
            httpx.Response(503),
            httpx.ConnectError("refused"),
            httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
            httpx.Response(200, content=b"late"),
        )
    )
    fetched = one.transport.get("up", "/shaky")
    assert fetched is not None and fetched.body == b"late"
    assert one.transport.counts["retries"] == 3
    assert [0.375 <= one.slept[0] <= 0.625, 0.75 <= one.slept[1] <= 1.25, 1.5 <= one.slept[2] <= 2.5] == [True] * 3
    assert one.limiter.held == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(403, content=b"Request Rate Threshold Exceeded"), "403: refused"),
        (httpx.Response(500), "500"),
        (httpx.ReadTimeout("slow"), "ReadTimeout"),
    ],
)
def test_what_stays_wrong_fails_with_url_and_reason(
    bench: Callable[..., Bench], answer: httpx.Response | Exception, reason: str
) -> None:
    one = bench(script(*itertools.repeat(answer, 4)))
    with pytest.raises(UpstreamError, match=reason) as caught:
        one.transport.get("up", "/broken")
    assert caught.value.url == "https://public/broken"
    assert "after 4 attempts" in caught.value.reason
    assert len(one.requests) == 4
    assert one.transport.drain() == ([], [])


@pytest.mark.parametrize("status", [301, 400, 401])
def test_what_cannot_get_better_fails_at_once(bench: Callable[..., Bench], status: int) -> None:
    one = bench(script(httpx.Response(status)))
    with pytest.raises(UpstreamError, match=str(status)):
        one.transport.get("up", "/no")
    assert one.slept == []


def test_an_unchanged_document_is_read_back_from_the_archive(bench: Callable[..., Bench]) -> None:
    first = bench(script(httpx.Response(200, content=b"kept", headers={"etag": '"v1"', "last-modified": "then"})))
    before = first.transport.get("up", "/conditional")
    first.save()
    again = bench(script(httpx.Response(304)))
    after = again.transport.get("up", "/conditional")
    assert before is not None and after is not None
    assert again.requests[0].headers["if-none-match"] == '"v1"'
    assert again.requests[0].headers["if-modified-since"] == "then"
    assert (after.body, after.body_hash, after.not_modified) == (b"kept", before.body_hash, True)


def test_a_final_document_is_fetched_once(bench: Callable[..., Bench]) -> None:
    first = bench(script(httpx.Response(200, content=b"final")))
    first.transport.get("up", "/final", final_after=ALWAYS_FINAL)
    first.save()
    again = bench(script(httpx.Response(200, content=b"final, and more")))
    kept = again.transport.get("up", "/final", final_after=OBSERVED - timedelta(seconds=1))
    assert kept is not None and kept.from_archive and again.requests == []
    # Received before it was final: it has to be asked for.
    fresh = again.transport.get("up", "/final", final_after=OBSERVED)
    assert fresh is not None and fresh.body == b"final, and more"


def test_a_body_lost_from_the_archive_is_fetched_again(bench: Callable[..., Bench], archive: ArtifactStore) -> None:
    first = bench(script(httpx.Response(200, content=b"lost", headers={"etag": '"v1"'})))
    fetched = first.transport.get("up", "/lost")
    first.save()
    assert fetched is not None
    archive.path(fetched.body_hash).unlink()
    again = bench(script(httpx.Response(200, content=b"lost", headers={"etag": '"v1"'})))
    assert again.transport.get("up", "/lost", final_after=ALWAYS_FINAL) is not None
    assert "if-none-match" not in again.requests[0].headers
    assert archive.read_bytes(fetched.body_hash) == b"lost"


def test_a_link_is_followed_only_within_its_upstream(bench: Callable[..., Bench]) -> None:
    transport = bench(script()).transport
    assert transport.follow("up", "https://public/v2/x?cursor=c&apiKey=k3y") == ("/v2/x", {"cursor": "c"})
    assert transport.follow("up", "http://inside:1/host/v2/x?cursor=c") == ("/v2/x", {"cursor": "c"})
    with pytest.raises(UpstreamError, match="a link out of"):
        transport.follow("up", "https://public.evil.example/v2/x?apiKey=k3y")


def test_a_trickling_body_ends_at_the_deadline(bench: Callable[..., Bench]) -> None:
    def trickle() -> Iterator[bytes]:
        yield b"x"
        yield b"y"

    one = bench(lambda request: httpx.Response(200, content=trickle()), deadline_seconds=0.0)
    with pytest.raises(UpstreamError, match="no whole body within 0 seconds"):
        one.transport.get("up", "/trickle")


# --- over real connections --------------------------------------------------------------------------------------


@needs_data
@pytest.mark.archive
@pytest.mark.parametrize(
    ("fault", "retries"),
    [
        ({"kind": "status", "status": 503, "count": 1}, 1),
        ({"kind": "status", "status": 429, "retry_after": "1", "count": 2}, 2),
        ({"kind": "status", "status": 403, "count": 1}, 1),
        ({"kind": "cut", "count": 1, "after_bytes": 2000}, 1),
        ({"kind": "slow", "count": 1, "delay_seconds": 0.2}, 0),
    ],
)
def test_faults_of_a_real_server_are_overcome(
    clean_replay: ReplayServer, warehouse: Warehouse, archive: ArtifactStore, fault: dict[str, Any], retries: int
) -> None:
    httpx.post(f"{clean_replay.url}/__replay__/faults", json={"path": "/submissions/", **fault})
    slept: list[float] = []
    with open_transport(
        settings_for(clean_replay.url), warehouse, archive, FixedClock(OBSERVED), sleep=slept.append
    ) as transport:
        fetched = transport.get("edgar_data", SUBMISSIONS)
    assert fetched is not None
    assert fetched.body.startswith(b"{") and fetched.body.rstrip().endswith(b"}")
    assert fetched.url == f"https://data.sec.gov{SUBMISSIONS}"
    assert (transport.counts["retries"], transport.counts["requests"]) == (retries, retries + 1)
    assert archive.read_bytes(fetched.body_hash) == fetched.body


@needs_data
@pytest.mark.archive
def test_a_missing_daily_index_is_absent_and_an_undeclared_agent_is_refused(
    clean_replay: ReplayServer, warehouse: Warehouse, archive: ArtifactStore
) -> None:
    path = "/Archives/edgar/daily-index/2024/QTR1/form.20240106.idx"
    with open_transport(settings_for(clean_replay.url), warehouse, archive, FixedClock(OBSERVED)) as transport:
        # EDGAR's store answers 403 to that; it is no refusal.
        assert transport.get("edgar_www", path) is None
    undeclared = settings_for(clean_replay.url, edgar_contact=None)
    with (
        open_transport(undeclared, warehouse, archive, FixedClock(OBSERVED), sleep=lambda _: None) as transport,
        pytest.raises(UpstreamError, match="403"),
    ):
        transport.get("edgar_data", SUBMISSIONS)


# --- the limit --------------------------------------------------------------------------------------------------

WORKER = """
import sys
import httpx
from signaldelta_assets.collectors import SharedLimiter
from signaldelta_assets.warehouse import Warehouse
url, target, name, rate, count = sys.argv[1:]
with Warehouse(url) as warehouse, httpx.Client() as client:
    limiter = SharedLimiter(warehouse, name, float(rate))
    for _ in range(int(count)):
        limiter.acquire()
        client.get(target)
"""


def most_in_a_second(times: list[float]) -> int:
    return max(sum(start <= t < start + 1.0 for t in times) for start in times)


@needs_data
@pytest.mark.archive
def test_no_second_sees_more_requests_than_allowed_over_all_processes(
    clean_replay: ReplayServer, postgres_url: str
) -> None:
    target = f"{clean_replay.url}/data.sec.gov/submissions/CIK0000000001.json"
    arguments = [sys.executable, "-c", WORKER, postgres_url, target, new_ulid(), "10", "8"]
    workers = [subprocess.Popen(arguments) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    log = httpx.get(f"{clean_replay.url}/__replay__/log").json()
    times = sorted(entry["at"] for entry in log["entries"])
    assert len(times) == 24
    assert most_in_a_second(times) <= 10


class Wall:
    """A clock that moves only when someone sleeps, or is told to."""

    def __init__(self) -> None:
        self.at = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


def test_a_slot_missed_is_given_up(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    reserved: list[int] = []

    def reserve(_: Warehouse, name: str, count: int, spacing: float) -> tuple[float, float]:
        reserved.append(count)
        return 0.01, spacing

    monkeypatch.setattr("signaldelta_assets.collectors.limiter.collection.reserve_slots", reserve)
    wall = Wall()
    limiter = SharedLimiter(warehouse, "x", 10.0, sleep=wall.sleep, monotonic=wall)
    for _ in range(4):
        limiter.acquire()
    assert reserved == [1, 2, 4]
    wall.at += 5.0
    limiter.acquire()
    # The three slots left were too old to use: one fresh slot was taken.
    assert reserved == [1, 2, 4, 1]


def test_a_hold_is_felt_by_others(warehouse: Warehouse) -> None:
    name = new_ulid()
    hold_slots(warehouse, name, 30.0)
    wall = Wall()
    SharedLimiter(warehouse, name, 10.0, sleep=wall.sleep, monotonic=wall).acquire()
    assert 28.0 < wall.slept[0] <= 30.0


def test_an_idle_upstream_gives_no_burst(warehouse: Warehouse) -> None:
    """Slots that nobody took are gone: an hour of silence is no credit for a thousand requests."""
    name = new_ulid()
    with warehouse.write_pool("collection").connection() as connection:
        connection.execute("INSERT INTO rate_limits VALUES (%s, %s)", (name, datetime(2020, 1, 1, tzinfo=UTC)))
    wall = Wall()
    limiter = SharedLimiter(warehouse, name, 10.0, sleep=wall.sleep, monotonic=wall)
    start = wall.at
    for _ in range(11):
        limiter.acquire()
    assert wall.at - start > 1.0


# --- what is not there, and what could not be read --------------------------------------------------------------


def at(moment: datetime, bench: Bench) -> Bench:
    """The same bench at another time."""
    bench.transport._clock = FixedClock(moment)
    return bench


def test_a_final_document_that_is_not_there_is_asked_for_again_the_more_seldom_the_older(
    bench: Callable[..., Bench],
) -> None:
    published = (OBSERVED - timedelta(days=8)).date()
    first = bench(script(httpx.Response(404)))
    assert first.transport.get("up", "/absent", final_after=ALWAYS_FINAL, published=published) is None
    first.save()
    nobody = bench(script())
    age = OBSERVED - datetime.combine(published, datetime.min.time(), UTC)
    for moment in (OBSERVED, OBSERVED + age / 4 - timedelta(seconds=1)):
        one = at(moment, nobody)
        assert one.transport.get("up", "/absent", final_after=ALWAYS_FINAL, published=published) is None
    assert (nobody.requests, nobody.transport.counts["known_absent"]) == ([], 2)
    there = at(OBSERVED + age / 4, bench(script(httpx.Response(200, content=b"there at last"))))
    fetched = there.transport.get("up", "/absent", final_after=ALWAYS_FINAL, published=published)
    assert fetched is not None and fetched.body == b"there at last"
    there.save()
    with there.warehouse.read_pool().connection() as connection:
        assert connection.execute("SELECT url FROM http_absences WHERE url LIKE '%%/absent'").fetchall() == []


def test_without_a_date_the_age_counts_from_the_first_time_and_a_new_one_waits_half_an_hour(
    bench: Callable[..., Bench],
) -> None:
    first = bench(script(httpx.Response(404)))
    assert first.transport.get("up", "/young", final_after=ALWAYS_FINAL) is None
    first.save()
    early = at(OBSERVED + timedelta(minutes=29), bench(script()))
    assert early.transport.get("up", "/young", final_after=ALWAYS_FINAL) is None
    later = at(OBSERVED + timedelta(minutes=30), bench(script(httpx.Response(404))))
    assert later.transport.get("up", "/young", final_after=ALWAYS_FINAL) is None
    later.save()
    with later.warehouse.read_pool().connection() as connection:
        (row,) = connection.execute("SELECT * FROM http_absences WHERE url LIKE '%%/young'").fetchall()
    assert (row["first_absent_at"], row["checked_at"]) == (OBSERVED, OBSERVED + timedelta(minutes=30))


def test_absence_is_asked_again_on_demand_and_always_of_what_is_never_final(bench: Callable[..., Bench]) -> None:
    first = bench(script(httpx.Response(404), httpx.Response(404)))
    assert first.transport.get("up", "/gone", final_after=ALWAYS_FINAL) is None
    assert first.transport.get("up", "/list") is None
    first.save()
    again = bench(script(httpx.Response(404), httpx.Response(404)), again=True)
    assert again.transport.get("up", "/gone", final_after=ALWAYS_FINAL) is None
    usual = bench(script(httpx.Response(404)))
    assert usual.transport.get("up", "/list") is None
    assert (len(again.requests), len(usual.requests)) == (1, 1)


def test_a_doubted_body_is_asked_for_again_in_time_or_on_demand(bench: Callable[..., Bench]) -> None:
    first = bench(script(httpx.Response(200, content=b"cut sho", headers={"etag": '"v1"'})))
    broken = first.transport.get("up", "/doubted", final_after=ALWAYS_FINAL)
    first.save()
    assert broken is not None
    for more, moment, asked in (
        ({"doubted": [broken.body_hash]}, OBSERVED, 0),
        ({"again": True}, OBSERVED, 0),
        ({"doubted": [broken.body_hash], "again": True}, OBSERVED, 1),
        ({"doubted": [broken.body_hash]}, OBSERVED + timedelta(minutes=30), 1),
    ):
        one = at(moment, bench(script(httpx.Response(200, content=b"cut short no more")), **more))
        fetched = one.transport.get("up", "/doubted", final_after=ALWAYS_FINAL)
        assert fetched is not None and (len(one.requests), fetched.body != b"cut sho") == (asked, bool(asked))
