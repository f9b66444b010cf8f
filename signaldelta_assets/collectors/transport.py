"""The one HTTP transport of all collectors: limits, retries, conditional requests, the archive of bodies.

Every body is in the archive under its SHA-256 before anything reads it. URLs are stored in the upstream's own public
form, whatever address it was reached at, and never with a key. What is pending for the database (`drain`) is written
with the records made from it, in one transaction.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.warehouse import ArtifactStore, IntegrityError, Warehouse
from signaldelta_assets.warehouse.stores import collection
from signaldelta_assets.warehouse.stores.collection import Absence, ArchivedDocument, Validator

from .clock import Clock
from .limiter import Limiter, Unlimited
from .pulse import Pulse

log = logging.getLogger(__name__)

_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_RETRY_AFTER_SECONDS = 900.0
_SECRETS = frozenset({"apikey", "api_key", "token"})
# What was missing, or could not be read, is asked for again once a quarter more of its age has passed, and not before.
_AGAIN_AFTER_SHARE, _AGAIN_AFTER = 0.25, timedelta(minutes=30)
# A document that never changes once it is published.
ALWAYS_FINAL = datetime(1, 1, 1, tzinfo=UTC)


class UpstreamError(SignalDeltaError):
    """An upstream that did not answer as it should, after every attempt. Names the URL and the last answer."""

    def __init__(self, url: str, reason: str, status: int | None = None) -> None:
        self.url, self.reason, self.status = url, reason, status
        super().__init__(f"{url}: {reason}")


class _TryAgainError(UpstreamError):
    """An answer that may be better next time; `wait_seconds` where the upstream says when."""

    def __init__(self, url: str, reason: str, status: int | None = None, wait_seconds: float | None = None) -> None:
        super().__init__(url, reason, status)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class Upstream:
    """One host: the address it is reached at, its public address, what to send along, and its limiter."""

    name: str
    base_url: str
    public_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    limiter: Limiter = field(default_factory=Unlimited)
    # S3 behind EDGAR answers 403 for a key that is not there; its body says so.
    absent_marks: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body and where it came from. `observed_time` is when these very bytes were first received from this URL."""

    url: str
    status: int
    body: bytes = field(repr=False)
    body_hash: str
    observed_time: datetime
    media_type: str | None
    not_modified: bool = False
    from_archive: bool = False


class Transport:
    """Requests for all feeds. Not for several threads: one per run."""

    def __init__(
        self,
        client: httpx.Client,
        archive: ArtifactStore,
        warehouse: Warehouse,
        upstreams: Mapping[str, Upstream],
        clock: Clock,
        *,
        attempts: int = 6,
        deadline_seconds: float = 150.0,
        sleep: Callable[[float], None] = time.sleep,
        doubted: Collection[str] = (),
        again: bool = False,
        pulse: Pulse | None = None,
    ) -> None:
        """Make a transport. `doubted` are hashes of bodies that could not be read: what came broken may come whole.

        `again` asks at once for those, and for what the upstream did not have; `pulse` is told that work goes on.
        """
        self._client, self._archive, self._warehouse = client, archive, warehouse
        self._upstreams, self._clock = dict(upstreams), clock
        self._attempts, self._deadline, self._sleep = attempts, deadline_seconds, sleep
        self._documents: dict[str, ArchivedDocument] = {}
        self._validators: dict[str, Validator] = {}
        self._absences: dict[str, Absence] = {}
        # What the database knows of URLs that were announced, see `expect`.
        self._expected: dict[str, tuple[Validator | None, Absence | None]] = {}
        self._doubted, self._again, self._pulse = frozenset(doubted), again, pulse or Pulse()
        self._read_urls: set[str] = set()
        self._gone_urls: set[str] = set()
        self.counts: Counter[str] = Counter()

    def get(
        self,
        upstream: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        final_after: datetime | None = None,
        published: date | None = None,
        remember_absence: bool | None = None,
    ) -> Fetched | None:
        """Return the document at `path` of `upstream`, None where the upstream says there is none (404, 410).

        A body received after `final_after` is taken from the archive without asking; with `ALWAYS_FINAL` any body is.
        Otherwise the upstream is asked, conditionally where it gave validators before. Raises `UpstreamError`.

        Of a document with `final_after`, or where `remember_absence` says so, it is remembered too that there is none;
        and a final body that could not be read is doubted. Both are asked for again, the more seldom the older the
        document. Its age counts from `published` where that is given, else from when it was first asked for.
        """
        remembers = final_after is not None if remember_absence is None else remember_absence
        host = self._upstreams[upstream]
        query = f"?{urlencode(params)}" if params else ""
        url = f"{host.public_url}{path}{query}"
        known, absence = self._known(url)
        final = final_after is not None and known is not None and known.observed_time > final_after
        if known is not None and final and not self._doubts(known, published):
            self.counts["from_archive"] += 1
            return self._handed(self._from_archive(known, not_modified=False))
        waits = absence is not None and not self._due(published, absence.first_absent_at, absence.checked_at)
        if remembers and waits:
            self.counts["known_absent"] += 1
            return None
        response = self._ask(host, f"{host.base_url}{path}{query}", url, known)
        if response is None:
            self.counts["absent"] += 1
            self._gone_urls.add(url)
            if remembers:
                now = self._clock.now()
                self._absences[url] = Absence(url, absence.first_absent_at if absence else now, now)
            return None
        self._absences.pop(url, None)
        if response.status_code == 304:
            assert known is not None
            self.counts["not_modified"] += 1
            self._validators[url] = _renewed(known, response, self._clock.now())
            return self._handed(self._from_archive(known, not_modified=True))
        return self._handed(self._archived(url, response, known))

    def post(self, upstream: str, content: bytes, url: str, refused: Callable[[bytes], str | None]) -> Fetched:
        """Send a JSON body to the one address of `upstream`; return the answer, archived under its hash.

        `url` names what is asked, as it is stored: the address may hold a key. `refused` says why an answer of status
        200 is to be asked for again, where a protocol has its own word for a rate limit; it is then treated as a 429.
        The archive is not looked in: one answer holds several things, see `remember` and `recall`. Raises
        `UpstreamError`.
        """
        host = self._upstreams[upstream]
        response = self._ask(host, host.base_url, url, None, content, refused)
        if response is None:
            raise UpstreamError(url, "no such endpoint")
        return self._archived(url, response, None, findable=False)

    def remember(self, fetched: Fetched, urls: Iterable[str]) -> None:
        """Let `fetched`, an answer to a `post`, be found again under each of the things that it answers for good."""
        now = self._clock.now()
        for url in urls:
            self._validators[url] = Validator(
                url, None, None, fetched.body_hash, fetched.media_type, fetched.observed_time, now
            )
            self._read_urls.add(url)

    def recall(self, urls: Sequence[str]) -> dict[str, Fetched]:
        """Return the archived answers by those of `urls` that were remembered; the upstream is not asked.

        Raises `UpstreamError` where an archived body is damaged.
        """
        pending = {url: self._validators[url] for url in urls if url in self._validators}
        stored, _ = collection.find_known(self._warehouse, [url for url in urls if url not in pending])
        bodies: dict[str, Fetched] = {}
        found: dict[str, Fetched] = {}
        for url, known in (pending | stored).items():
            if self._doubts(known, None):
                continue
            if known.body_hash not in bodies:
                if not self._archive.path(known.body_hash).is_file():
                    continue
                self.counts["from_archive"] += 1
                bodies[known.body_hash] = self._from_archive(known, not_modified=False)
            found[url] = replace(bodies[known.body_hash], url=url, observed_time=known.observed_time)
            self._read_urls.add(url)
        return found

    def expect(self, upstream: str, paths: Iterable[str]) -> None:
        """Look up what is known of documents that will be asked for next, all at once instead of one by one."""
        urls = [self.public_url(upstream, path) for path in paths]
        received, absent = collection.find_known(self._warehouse, urls)
        self._expected = {url: (received.get(url), absent.get(url)) for url in urls}

    def follow(self, upstream: str, link: str) -> tuple[str, dict[str, str]]:
        """Return (path, parameters) of an absolute link that `upstream` gave, for `get`; keys are left out.

        Raises `UpstreamError` where the link leads to another host: a key must not be sent there.
        """
        host = self._upstreams[upstream]
        for base in (host.base_url, host.public_url):
            if link.startswith(f"{base}/") and not link.startswith(f"{base}//"):
                parts = urlsplit(link[len(base) :])
                return parts.path, {k: v for k, v in parse_qsl(parts.query) if k.lower() not in _SECRETS}
        raise UpstreamError(urlsplit(link)._replace(query="").geturl(), f"a link out of {host.public_url}")

    def public_url(self, upstream: str, path: str) -> str:
        """Return the public URL of a path, as it is stored."""
        return f"{self._upstreams[upstream].public_url}{path}"

    def drain(self) -> tuple[list[ArchivedDocument], list[Validator]]:
        """Hand over what was received since the last call and is not in the database yet."""
        documents, validators = list(self._documents.values()), list(self._validators.values())
        self._documents, self._validators = {}, {}
        return documents, validators

    def drain_absences(self) -> list[Absence]:
        """Hand over which documents were not there, since the last call."""
        absences = list(self._absences.values())
        self._absences = {}
        return absences

    def drain_read(self) -> tuple[set[str], set[str]]:
        """Hand over the URLs whose documents were given out since the last call, and those that had none."""
        drained = self._read_urls, self._gone_urls
        self._read_urls, self._gone_urls = set(), set()
        return drained

    def _handed(self, fetched: Fetched) -> Fetched:
        self._read_urls.add(fetched.url)
        return fetched

    def _doubts(self, known: Validator, published: date | None) -> bool:
        return known.body_hash in self._doubted and self._due(published, known.observed_time, known.checked_at)

    def _due(self, published: date | None, since: datetime, checked: datetime) -> bool:
        """Return whether to ask again for what was last asked for at `checked` and not there, or not readable."""
        if published is not None:
            since = min(since, datetime.combine(published, time_of_day(0), UTC))
        wait = max((checked - since) * _AGAIN_AFTER_SHARE, _AGAIN_AFTER)
        return self._again or self._clock.now() - checked >= wait

    # --- one request --------------------------------------------------------------------------------------------

    def _ask(
        self,
        host: Upstream,
        address: str,
        url: str,
        known: Validator | None,
        content: bytes | None = None,
        refused: Callable[[bytes], str | None] | None = None,
    ) -> httpx.Response | None:
        headers = dict(host.headers)
        if content is not None:
            headers["Content-Type"] = "application/json"
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        if known is not None and known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        retrying = Retrying(
            stop=stop_after_attempt(self._attempts),
            wait=_wait,
            retry=retry_if_exception_type(_TryAgainError),
            before_sleep=lambda state: self._before_sleep(state, host),
            sleep=self._pause,
            reraise=True,
        )
        try:
            return retrying(self._once, host, address, url, headers, content, refused)
        except _TryAgainError as error:
            reason = f"{error.reason}, after {self._attempts} attempts"
            raise UpstreamError(url, reason, error.status) from error

    def _pause(self, seconds: float) -> None:
        with self._pulse.waiting():
            self._sleep(seconds)

    def _before_sleep(self, state: RetryCallState, host: Upstream) -> None:
        self.counts["retries"] += 1
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, _TryAgainError) and error.status in (403, 429) and state.next_action is not None:
            # The upstream counts the requests of all our processes together.
            host.limiter.hold(state.next_action.sleep)

    def _once(
        self,
        host: Upstream,
        address: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        refused: Callable[[bytes], str | None] | None,
    ) -> httpx.Response | None:
        with self._pulse.waiting():
            host.limiter.acquire()
        self.counts["requests"] += 1
        began, told = time.monotonic(), "no answer"
        try:
            response = self._read(address, url, headers, content)
            told = str(response.status_code)
        except httpx.TransportError as error:
            # Timeouts, refused and cut connections: httpx compares a body with its Content-Length and chunks.
            raise _TryAgainError(url, f"{type(error).__name__}: {error}") from error
        except httpx.DecodingError as error:
            raise _TryAgainError(url, f"body cannot be decoded: {error}") from error
        finally:
            # The public address, never the one that is asked: that may hold a key.
            context = {"upstream": host.name, "url": url, "status": told, "seconds": time.monotonic() - began}
            log.info("%s %s %s", host.name, url, told, extra={"context": context})
        status = response.status_code
        if status in (404, 410):
            return None
        if status == 403:
            if any(mark in response.content for mark in host.absent_marks):
                return None
            reason = "403: refused (rate limit passed, or the User-Agent is not accepted)"
            raise _TryAgainError(url, reason, status, _retry_after(response, self._clock.now()))
        if status == 429 or status >= 500:
            wait = _retry_after(response, self._clock.now())
            raise _TryAgainError(url, f"{status} {response.reason_phrase}", status, wait)
        if status == 304 and ("If-None-Match" in headers or "If-Modified-Since" in headers):
            return response
        if status != 200:
            raise UpstreamError(url, f"{status} {response.reason_phrase}", status)
        limit = refused(response.content) if refused is not None else None
        if limit is not None:
            raise _TryAgainError(url, limit, 429, _retry_after(response, self._clock.now()))
        return response

    def _read(self, address: str, url: str, headers: Mapping[str, str], content: bytes | None) -> httpx.Response:
        """Read a whole answer within the deadline: a timeout per read would let a trickle go on for ever."""
        deadline = time.monotonic() + self._deadline
        method = "GET" if content is None else "POST"
        with self._client.stream(method, address, headers=headers, content=content) as response:
            pieces: list[bytes] = []
            for piece in response.iter_bytes():
                self._pulse.beat()
                pieces.append(piece)
                if time.monotonic() > deadline:
                    raise _TryAgainError(url, f"no whole body within {self._deadline:g} seconds", response.status_code)
        # The body is decoded already: its encoding and length described it on the wire.
        kept = [(k, v) for k, v in response.headers.items() if k not in ("content-encoding", "content-length")]
        return httpx.Response(response.status_code, headers=kept, content=b"".join(pieces))

    # --- the archive --------------------------------------------------------------------------------------------

    def _known(self, url: str) -> tuple[Validator | None, Absence | None]:
        """What was last received from a URL and is at hand, and since when there has been nothing."""
        if url in self._expected:
            stored, missing = self._expected.pop(url)
        else:
            found = collection.find_known(self._warehouse, [url])
            stored, missing = found[0].get(url), found[1].get(url)
        known, absence = self._validators.get(url) or stored, self._absences.get(url) or missing
        if known is not None and not self._archive.path(known.body_hash).is_file():
            # An archive that lost a body must not be asked for it: the request is made as if for the first time.
            known = None
        return known, absence

    def _from_archive(self, known: Validator, *, not_modified: bool) -> Fetched:
        try:
            body = self._archive.read_bytes(known.body_hash)
        except IntegrityError as error:
            raise UpstreamError(known.url, f"archived body is damaged: {error}") from error
        return Fetched(
            known.url, 200, body, known.body_hash, known.observed_time, known.media_type, not_modified, not not_modified
        )

    def _archived(
        self, url: str, response: httpx.Response, known: Validator | None, *, findable: bool = True
    ) -> Fetched:
        body, now = response.content, self._clock.now()
        name = self._archive.put_bytes(body)
        media_type = response.headers.get("content-type")
        observed = known.observed_time if known is not None and known.body_hash == name else now
        self.counts["received"] += 1
        self._documents[name] = ArchivedDocument(name, len(body), media_type, url, response.status_code, now)
        if findable:
            self._validators[url] = Validator(
                url,
                response.headers.get("etag"),
                response.headers.get("last-modified"),
                name,
                media_type,
                observed,
                now,
            )
        return Fetched(url, response.status_code, body, name, observed, media_type)


def _renewed(known: Validator, response: httpx.Response, now: datetime) -> Validator:
    return Validator(
        known.url,
        response.headers.get("etag") or known.etag,
        response.headers.get("last-modified") or known.last_modified,
        known.body_hash,
        known.media_type,
        known.observed_time,
        now,
    )


def _retry_after(response: httpx.Response, now: datetime) -> float | None:
    """Return the wait that Retry-After asks for (RFC 9110 10.2.3): seconds, or a date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        until: datetime = parsedate_to_datetime(text)
        return max((until - now) / timedelta(seconds=1), 0.0)
    except (ValueError, TypeError):
        return None


def _wait(state: RetryCallState) -> float:
    """Exponential backoff with jitter, from half a second; never less than the upstream asked for."""
    backoff = min(0.5 * 2 ** (state.attempt_number - 1), _LONGEST_WAIT_SECONDS)
    # Processes that were refused together must not come back together.
    backoff = float(backoff * random.uniform(0.75, 1.25))
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait_seconds if isinstance(error, _TryAgainError) else None
    return backoff if asked is None else max(min(asked, _LONGEST_RETRY_AFTER_SECONDS), backoff)
