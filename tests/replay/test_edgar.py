"""sec.gov and data.sec.gov over HTTP: paths, validators, the rule on user agents, index files, feeds."""

from __future__ import annotations

import gzip
import re
from datetime import date, timedelta
from email.utils import formatdate

import httpx
import pytest
from lxml import etree

from signaldelta_assets.replay import SimulatedArchive
from signaldelta_assets.replay.archive import Filing

ATOM = "{http://www.w3.org/2005/Atom}"


def _filings(simulated: SimulatedArchive, form: str) -> list[Filing]:
    return [filing for filing in simulated.edgar.filings().values() if filing.form == form]


def _folder(filing: Filing, cik: int | None = None) -> str:
    owner = cik if cik is not None else filing.parties[0].cik
    return f"/www.sec.gov/Archives/edgar/data/{owner}/{filing.accession.replace('-', '')}"


def test_submissions_are_served_byte_for_byte_and_gzipped(client: httpx.Client, simulated: SimulatedArchive) -> None:
    path = simulated.root / "sec/submissions/as_served/CIK0009000003.json"
    with client.stream("GET", f"/data.sec.gov/submissions/{path.name}") as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == path.read_bytes()
    assert "x-replay-assembled" not in answer.headers
    plain = client.get(f"/data.sec.gov/submissions/{path.name}", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == path.read_bytes()


def test_an_unchanged_list_is_not_sent_again(client: httpx.Client) -> None:
    url = "/data.sec.gov/submissions/CIK0009000001.json"
    first = client.get(url)
    for header, value in (
        ("if-none-match", first.headers["etag"]),
        ("if-none-match", f'W/{first.headers["etag"]}, "other"'),
        ("if-modified-since", first.headers["last-modified"]),
    ):
        again = client.get(url, headers={header: value})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert client.get(url, headers={"if-none-match": '"stale"'}).content == first.content
    assert client.get(url, headers={"if-modified-since": formatdate(0, usegmt=True)}).status_code == 200


@pytest.mark.parametrize(
    "host", ["www.sec.gov/files/company_tickers.json", "data.sec.gov/submissions/CIK0009000001.json"]
)
@pytest.mark.parametrize("agent", ["", "python-httpx/0.28", "SignalDelta research"])
def test_a_user_agent_without_contact_is_refused(client: httpx.Client, host: str, agent: str) -> None:
    answer = client.get(f"/{host}", headers={"user-agent": agent})
    assert answer.status_code == 403
    assert "Undeclared Automated Tool" in answer.text
    assert client.get(f"/{host}").status_code == 200


def test_other_hosts_do_not_ask_for_a_contact(client: httpx.Client) -> None:
    answer = client.get("/api.polygon.io/v3/reference/splits?apiKey=k", headers={"user-agent": "x"})
    assert answer.status_code == 200


@pytest.mark.parametrize("form", ["8-K", "4"])
def test_a_submission_has_its_addresses(client: httpx.Client, simulated: SimulatedArchive, form: str) -> None:
    filing = _filings(simulated, form)[0]
    recorded = (simulated.root / filing.source).read_bytes()
    for party in filing.parties:
        short = client.get(f"/www.sec.gov/Archives/edgar/data/{party.cik}/{filing.accession}.txt")
        long = client.get(f"{_folder(filing, party.cik)}/{filing.accession}.txt")
        padded = client.get(f"/www.sec.gov/Archives/edgar/data/{party.cik:010d}/{filing.accession}.txt")
        assert short.content == long.content == padded.content == recorded
    stranger = client.get(f"{_folder(filing, 1)}/{filing.accession}.txt")
    assert stranger.status_code == 404
    assert "NoSuchKey" in stranger.text


def test_the_ownership_document_is_found_with_and_without_its_stylesheet(
    client: httpx.Client, simulated: SimulatedArchive
) -> None:
    filing = _filings(simulated, "4")[0]
    listing = client.get(f"{_folder(filing)}/index.json").json()["directory"]
    names = [item["name"] for item in listing["item"]]
    assert names == [f"{filing.accession}.txt", "form4.xml"]
    plain = client.get(f"{_folder(filing)}/form4.xml")
    styled = client.get(f"{_folder(filing)}/xslF345X05/form4.xml")
    assert plain.content == styled.content
    assert plain.headers["x-replay-assembled"] == "1"
    root = etree.fromstring(plain.content)
    assert int(root.findtext("issuer/issuerCik")) in filing.ciks
    assert client.get(f"{_folder(filing)}/other.xml").status_code == 404


def test_what_was_never_filed_is_missing(client: httpx.Client) -> None:
    for path in (
        "data.sec.gov/submissions/CIK0000000001.json",
        "data.sec.gov/api/xbrl/companyfacts/CIK0000000001.json",
        "www.sec.gov/Archives/edgar/data/1/0000000001-24-000001.txt",
        "www.sec.gov/Archives/edgar/data/1/nonsense",
        "www.sec.gov/litigation/litreleases/2024/lr1.htm",
        "www.sec.gov/cgi-bin/browse-edgar?action=getcompany",
    ):
        assert client.get(f"/{path}").status_code == 404, path


def _index(client: httpx.Client, kind: str, day: date) -> httpx.Response:
    quarter = (day.month + 2) // 3
    return client.get(f"/www.sec.gov/Archives/edgar/daily-index/{day.year}/QTR{quarter}/{kind}.{day:%Y%m%d}.idx")


def test_a_daily_index_lists_every_party_of_every_filing_of_its_day(
    client: httpx.Client, simulated: SimulatedArchive
) -> None:
    filings = simulated.edgar.filings().values()
    days = sorted({filing.filed for filing in filings if filing.filed})
    for day in days[:: len(days) // 10]:
        wanted = {
            (filing.form, party.cik, f"edgar/data/{party.cik}/{filing.accession}.txt")
            for filing in filings
            if filing.filed == day
            for party in filing.parties
        }
        for kind in ("form", "company", "master"):
            answer = _index(client, kind, day)
            assert answer.headers["x-replay-assembled"] == "1"
            rows = answer.text.split("-" * 80, 1)[1].splitlines()[1:]
            found = set()
            for row in rows:
                if kind == "master":
                    cik, _, form, filed, path = row.split("|")
                else:
                    form, name = (row[:12], row[12:74]) if kind == "form" else (row[62:74], row[:62])
                    assert name.strip()
                    cik, filed, path = row[74:86], row[86:98], row[98:]
                assert filed.strip() == f"{day:%Y%m%d}"
                found.add((form.strip(), int(cik), path.strip()))
            assert found == wanted


def test_days_without_an_index_are_denied(client: httpx.Client, simulated: SimulatedArchive) -> None:
    filed = sorted(filing.filed for filing in simulated.edgar.filings().values() if filing.filed)
    saturday = filed[0] + timedelta(days=(5 - filed[0].weekday()) % 7)
    for day in (saturday, date(2025, 5, 26), filed[0] - timedelta(days=1), filed[-1] + timedelta(days=1)):
        answer = _index(client, "form", day)
        assert answer.status_code == 403
        assert "AccessDenied" in answer.text
    wrong_quarter = f"/www.sec.gov/Archives/edgar/daily-index/{filed[0].year}/QTR4/form.{date(2025, 2, 4):%Y%m%d}.idx"
    assert client.get(wrong_quarter).status_code == 403


def test_the_quarter_listing_names_exactly_the_indexes_that_exist(client: httpx.Client) -> None:
    listing = client.get("/www.sec.gov/Archives/edgar/daily-index/2025/QTR1/index.json").json()["directory"]
    names = {item["name"] for item in listing["item"]}
    for offset in range(90):
        day = date(2025, 1, 1) + timedelta(days=offset)
        assert (_index(client, "master", day).status_code == 200) == (f"master.{day:%Y%m%d}.idx" in names), day
    assert client.get("/www.sec.gov/Archives/edgar/daily-index/2025/QTR9/index.json").status_code == 403


def _entries(answer: httpx.Response) -> list[tuple[str, str, str]]:
    root = etree.fromstring(answer.content)
    return [
        (e.findtext(f"{ATOM}title"), e.findtext(f"{ATOM}updated"), e.find(f"{ATOM}category").get("term"))
        for e in root.iter(f"{ATOM}entry")
    ]


def test_the_current_feed_pages_without_gap_or_repeat(client: httpx.Client) -> None:
    base = "/www.sec.gov/cgi-bin/browse-edgar?action=getcurrent&output=atom"
    answer = client.get(f"{base}&type=&count=100")
    assert answer.headers["content-type"].startswith("application/atom+xml")
    whole = _entries(answer)
    pages = [entry for start in range(0, 102, 3) for entry in _entries(client.get(f"{base}&count=3&start={start}"))]
    assert len(whole) > 5
    assert pages == whole
    assert [updated for _, updated, _ in whole] == sorted((updated for _, updated, _ in whole), reverse=True)
    assert _entries(client.get(f"{base}&start=5000")) == []
    fours = _entries(client.get(f"{base}&type=4&count=100"))
    assert fours == [entry for entry in whole if entry[2].startswith("4")]
    assert len(_entries(client.get(base))) == min(40, len(whole))


def test_litigation_feed_and_releases(client: httpx.Client, simulated: SimulatedArchive) -> None:
    feed = client.get("/www.sec.gov/enforcement-litigation/litigation-releases/rss")
    recorded = next((simulated.root / "sec/litigation_releases/rss").iterdir())
    assert feed.content == recorded.read_bytes()
    links = [item.findtext("link") for item in etree.fromstring(feed.content).iter("item")]
    planted = [event for event in simulated.plan["events"] if event["event_type"] == "SEC_ENFORCEMENT"]
    assert len(links) == len(planted) > 0
    for link in links:
        page = client.get(link.replace("https://", "/"))
        assert "filed a complaint against" in page.text
        assert page.headers["x-replay-assembled"] == "1"
    years = {int(event["event_time"][:4]) for event in planted}
    lists = [client.get(f"/www.sec.gov/litigation/litreleases/litrelarchive/litarchive{year}.shtml") for year in years]
    listed = [path for answer in lists for path in re.findall(r'href="([^"]+)"', answer.text)]
    assert len(listed) == len(planted) and all(answer.headers["x-replay-assembled"] == "1" for answer in lists)
    for path in listed:
        assert "filed a complaint against" in client.get(f"/www.sec.gov{path}").text
    for name in ("litarchive1901.shtml", "litarchive.shtml", "other.htm"):
        assert client.get(f"/www.sec.gov/litigation/litreleases/litrelarchive/{name}").status_code == 404


def test_the_ticker_table(client: httpx.Client) -> None:
    table = client.get("/www.sec.gov/files/company_tickers.json").json()
    assert table["0"] == {"cik_str": 9000001, "ticker": "SIMAA", "title": "Alder Analytics Inc."}
    assert len(table) == 12
