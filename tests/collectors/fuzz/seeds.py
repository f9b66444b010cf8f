"""Good documents to spoil: of a small simulated archive as its endpoints serve them, and recorded ones in place."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import orjson
from starlette.testclient import TestClient

from signaldelta_assets.collectors.edgar.daily_index import index_path
from signaldelta_assets.collectors.edgar.parsers import parse_submission
from signaldelta_assets.collectors.edgar.parsers.ownership import ownership_document
from signaldelta_assets.collectors.edgar.parsers.xml import xml_document
from signaldelta_assets.collectors.ethereum.parsers import FACTORY, POOL_LOGS, TOPIC_PAIR_CREATED
from signaldelta_assets.collectors.ethereum.protocol import (
    CHAIN,
    HEAD,
    block_call,
    decimals_call,
    logs_call,
    on_the_wire,
)
from signaldelta_assets.errors import RecordError
from signaldelta_assets.replay import SimulatedArchive, SimulationPlan, create_app, simulate

from .making import Seed

PLAN = SimulationPlan(seed=7, entities=8, days=300, pools=2)
_AGENT = {"user-agent": "SignalDelta tests tests@example.com"}
# Spoiling a document costs what reading it costs: the largest are left out, and there are always smaller ones.
_LARGEST, _OF_A_KIND = 60_000, 6
_SUBMISSIONS = {"4": "ownership_text", "144": "form_144_text", "8-K": "form_8k", "SC TO-T": "roles"}


def simulated_seeds(root: Path) -> list[Seed]:
    """Return documents of every kind, out of an archive written to `root`."""
    simulate(PLAN, root)
    archive = SimulatedArchive(root)
    with TestClient(create_app(archive), headers=_AGENT) as client:
        found = [*_edgar(archive, client), *_market(archive, client), *_chain(archive, client)]
    return _few(found)


def _few(seeds: list[Seed]) -> list[Seed]:
    """Return some of each kind, spread over those there are."""
    kinds: dict[str, list[Seed]] = {}
    for seed in seeds:
        kinds.setdefault(seed.kind, []).append(seed)
    found = []
    for own in kinds.values():
        fitting = [one for one in own if len(one.body) <= _LARGEST] or [min(own, key=lambda one: len(one.body))]
        found += fitting[:: max(len(fitting) // _OF_A_KIND, 1)][:_OF_A_KIND]
    return found


def _submission_seeds(accession: str, form: str, body: bytes) -> Iterator[Seed]:
    kind = _SUBMISSIONS.get(form.removesuffix("/A"), "roles")
    yield Seed(kind, accession, body)
    submission = parse_submission(body, accession, header_suffices=True)
    if kind == "ownership_text":
        yield Seed("ownership", accession, ownership_document(submission))
    document = xml_document(submission)
    if document is not None and form.startswith(("144", "SCHEDULE")):
        yield Seed("form_144" if form.startswith("144") else "schedule", accession, document)


def _edgar(archive: SimulatedArchive, client: TestClient) -> Iterator[Seed]:
    edgar = archive.edgar
    for accession, filing in edgar.filings().items():
        text = edgar.submission_text(accession)
        if text is not None:
            yield from _submission_seeds(accession, filing.form, text.body)
    for entity in archive.universe()["entities"]:
        name = f"CIK{int(entity['cik']):010d}.json"
        answer = client.get(f"/data.sec.gov/submissions/{name}")
        if answer.status_code == 404:
            # Issuers that only the market knows.
            continue
        main = answer.content
        yield Seed("submissions", name, main)
        yield Seed("companyfacts", name, client.get(f"/data.sec.gov/api/xbrl/companyfacts/{name}").content)
        page = orjson.dumps(orjson.loads(main)["filings"]["recent"])
        yield Seed("submissions_page", name.replace(".json", "-submissions-001.json"), page)
    for day in sorted({filing.filed for filing in edgar.filings().values() if filing.filed is not None})[::10]:
        answer = client.get(f"/www.sec.gov{index_path(day)}")
        if answer.status_code == 200:
            yield Seed("index", index_path(day).rsplit("/", 1)[-1], answer.content)
    yield Seed("feed", "getcurrent:0", _feed_page())
    feed = edgar.litigation_feed()
    assert feed is not None
    yield Seed("litigation_feed", "rss", feed.body)
    for year in range(PLAN.end.year - 1, PLAN.end.year + 1):
        listed = edgar.litigation_list(year)
        if listed is not None:
            yield Seed("litigation_list", f"litarchive{year}", listed.body)
    for number in re.findall(rb"LR-(\d+)", feed.body)[:12]:
        release = edgar.litigation_release(number.decode())
        if release is not None:
            yield Seed("litigation_page", number.decode(), release.body)


def _feed_page() -> bytes:
    """Return a page of the current feed: a simulated archive has none."""
    entries = (
        ("4", "Falkirk Mining Corp", 1234, "Issuer"),
        ("4", "Doe Jane (Jr.)", 99, "Reporting"),
        ("SCHEDULE 13D", "Falkirk Mining Corp", 1234, "Subject"),
        ("SCHEDULE 13D", "Heron Partners LP", 77, "Filed by"),
        ("10-Q", "Alder & Sons", 55, "Filer"),
    )
    made = "".join(
        f"""<entry>
<title>{form} - {escape(name)} ({cik:010d}) ({role})</title>
<link rel="alternate" type="text/html" href="https://www.sec.gov/Archives/edgar/data/{cik}/x-index.htm"/>
<summary type="html">
 &lt;b&gt;Filed:&lt;/b&gt; 2024-05-02 &lt;b&gt;AccNo:&lt;/b&gt; 0000000001-24-00000{n // 2}
</summary>
<updated>2024-05-02T16:3{n}:07-04:00</updated>
<category scheme="https://www.sec.gov/" label="form type" term="{form}"/>
<id>urn:tag:sec.gov,2008:accession-number=0000000001-24-00000{n // 2}</id>
</entry>
"""
        for n, (form, name, cik, role) in enumerate(entries)
    )
    head = (
        '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n<title>x</title>\n'
    )
    return f"{head}{made}</feed>\n".encode("latin-1")


def _market(archive: SimulatedArchive, client: TestClient) -> Iterator[Seed]:
    host, first, last = "/api.polygon.io", date(PLAN.end.year - 1, 1, 1), PLAN.end
    key = {"apiKey": "not-a-secret"}

    def get(path: str, **params: str) -> bytes:
        answer = client.get(host + path, params=params | key)
        assert answer.status_code == 200, (path, answer.text)
        return bytes(answer.content)

    for entity in archive.universe()["entities"]:
        for ticker in entity["tickers"]:
            path = f"/v2/aggs/ticker/{ticker}/range/1"
            yield Seed("daily_bars", ticker, get(f"{path}/day/{first}/{last}", adjusted="false", limit="30"))
            yield Seed("hourly_bars", ticker, get(f"{path}/hour/{first}/{last}", adjusted="false", limit="30"))
            yield Seed(
                "tickers", ticker, get("/v3/reference/tickers", cik=f"{int(entity['cik']):010d}", date=str(last))
            )
            # Not every ticker is still in use on that day.
            details = client.get(f"{host}/v3/reference/tickers/{ticker}", params={"date": str(last), **key}).content
            if b'"results"' not in details:
                continue
            yield Seed("details", ticker, details)
            figi = re.search(rb'"composite_figi":\s*"(\w+)"', details)
            if figi is not None:
                yield Seed("history", ticker, get(f"/vX/reference/tickers/{figi[1].decode()}/events"))
    split = {"ticker": "AAA", "execution_date": "2024-06-10", "split_from": 1, "split_to": 10, "id": "S1"}
    yield Seed("splits", "splits", orjson.dumps({"status": "OK", "results": [split, split | {"ticker": "BBB"}]}))
    for kind, path in (
        ("dividends", "/v3/reference/dividends"),
        ("earnings", "/benzinga/v1/earnings"),
    ):
        yield Seed(kind, kind, get(path, limit="20"))


def _chain(archive: SimulatedArchive, client: TestClient) -> Iterator[Seed]:
    def ask(*calls: Any) -> bytes:
        return bytes(client.post("/ethereum", content=on_the_wire(calls)).content)

    head = int(re.search(rb'"result":\s*"(0x\w+)"', ask(HEAD))[1], 16)  # type: ignore[index]
    yield Seed("numbers", "n", ask(CHAIN, HEAD, decimals_call("0x" + "1" * 40)))
    for number in (head, head - 500):
        yield Seed("block", str(number), ask(block_call(number, True)))
    for kind, addresses, topics in (
        ("pair_logs", [FACTORY], [TOPIC_PAIR_CREATED]),
        ("pool_logs", None, list(POOL_LOGS)),
    ):
        held = [log.block for log in archive.chain.logs(0, head, None) if log.topics[0] in topics]
        for block in held[:: max(len(held) // 3, 1)][:3]:
            pools = addresses or sorted({log.address for log in archive.chain.logs(block, block + 50, None)})
            yield Seed(kind, "log", ask(logs_call(block, block + 50, pools, topics)))


def recorded_seeds(data: Path) -> list[Seed]:
    """Return recorded documents of the kinds that were recorded whole."""
    found: list[Seed] = []
    for path in sorted(data.glob("sec/form4_xml/*/*.xml")):
        found.append(Seed("ownership", path.stem, path.read_bytes()))
    for pattern in ("sec/form4_full_submissions/*/*.txt", "sec/8k_full_submissions/*/*.gz", "sec/sc13_headers/*.txt"):
        for path in sorted(data.glob(pattern)):
            body = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            named = re.search(rb"ACCESSION NUMBER:\s*([0-9-]{20})", body)
            form = re.search(rb"CONFORMED SUBMISSION TYPE:\s*([^\r\n]+)", body)
            if named is not None and form is not None:
                try:
                    found += _submission_seeds(named[1].decode(), form[1].decode().strip(), body)
                except RecordError:
                    continue
    for kind, pattern in (
        ("feed", "sec/atom_getcurrent/*.atom"),
        ("litigation_feed", "sec/litigation_releases/rss/*.xml"),
        ("index", "sec/index_files/*"),
        ("submissions", "sec/submissions/as_served/CIK*.json*"),
        ("submissions_page", "sec/submissions/as_served/*-submissions-*"),
        ("companyfacts", "sec/companyfacts/*/*"),
        ("tickers", "polygon/rest_mocks/v3/reference/tickers.json"),
        ("details", "polygon/rest_mocks/v3/reference/tickers/AAPL.json"),
        ("history", "polygon/rest_mocks/vX/reference/tickers/META/*"),
        ("dividends", "polygon/rest_mocks/v3/reference/dividends.json"),
        ("splits", "polygon/rest_mocks/v3/reference/splits.json"),
    ):
        for path in sorted(data.glob(pattern)):
            if kind == "submissions" and "-submissions-" in path.name:
                continue
            body = path.read_bytes()
            found.append(Seed(kind, path.name, gzip.decompress(body) if path.suffix == ".gz" else body))
    return _few(found)
