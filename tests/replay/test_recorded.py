"""Recorded archives: which copy is served, what is assembled, what has no address; bytes against the files in place."""

from __future__ import annotations

import binascii
import gzip
import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from signaldelta_assets.replay import RecordedArchive
from signaldelta_assets.replay.recorded.chain import FACTORY
from signaldelta_assets.replay.sgml import ACCESSION, find_document
from tests.paths import DATA, needs_data

SUBMISSIONS = "/data.sec.gov/submissions"
ARCHIVES = "/www.sec.gov/Archives/edgar/data"


def _write(root: Path, name: str, body: str | bytes | dict[str, Any]) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def _list(name: str) -> dict[str, Any]:
    return {"cik": "0000000005", "name": name, "tickers": ["FIVE"], "filings": {"recent": {}, "files": []}}


def test_of_several_copies_the_most_trusted_is_served_and_the_rest_counted(
    tmp_path: Path, serve: Callable[[Path], httpx.Client]
) -> None:
    name = "CIK0000000005.json"
    _write(tmp_path, f"sec/submissions/paged/{name}.gz", _list("paged"))
    _write(tmp_path, f"sec/submissions/merged_full_history/{name}.gz", _list("merged"))
    _write(tmp_path, "sec/submissions/wrapped_recent/submissions_0000000005.json.gz", {"data": _list("wrapped")})
    _write(tmp_path, "sec/submissions/edgartools_fixture/company_submission.json.gz", _list("fixture"))
    client = serve(tmp_path)
    answer = client.get(f"{SUBMISSIONS}/{name}")
    assert answer.json() == _list("merged")
    assert answer.headers["x-replay-source"] == f"sec/submissions/merged_full_history/{name}.gz"
    universe = client.get("/__replay__/universe").json()
    assert universe["entities"] == [{"cik": 5, "name": "merged", "tickers": ["FIVE"], "feeds": {"submissions": 1}}]
    assert universe["edgar"]["submissions"][0]["other_copies"] == ["paged", "wrapped_recent"]
    assert sorted(entry["count"] for entry in universe["unserved"]) == [1, 2]


def test_a_wrapped_list_is_unwrapped_and_says_so(tmp_path: Path, serve: Callable[[Path], httpx.Client]) -> None:
    wrapped = {"data": _list("wrapped"), "timestamp": 1.5, "ttl": 3600}
    _write(tmp_path, "sec/submissions/wrapped_recent/submissions_0000000005.json", wrapped)
    answer = serve(tmp_path).get(f"{SUBMISSIONS}/CIK0000000005.json")
    assert answer.json() == _list("wrapped")
    assert answer.headers["x-replay-assembled"] == "1"


def test_pages_without_a_main_file_get_one_that_only_lists_them(
    tmp_path: Path, serve: Callable[[Path], httpx.Client]
) -> None:
    for number, days in ((1, ["2020-05-01", "2019-01-02"]), (2, ["2001-03-04"])):
        page = {"accessionNumber": ["x"] * len(days), "filingDate": days}
        _write(tmp_path, f"sec/submissions/paged/CIK0000000005-submissions-00{number}.json.gz", page)
    client = serve(tmp_path)
    answer = client.get(f"{SUBMISSIONS}/CIK0000000005.json")
    assert answer.headers["x-replay-assembled"] == "1"
    main = answer.json()
    assert set(main) == {"cik", "filings"}, "nothing is said that was not recorded"
    assert all(column == [] for column in main["filings"]["recent"].values())
    assert main["filings"]["files"] == [
        {
            "name": "CIK0000000005-submissions-001.json",
            "filingCount": 2,
            "filingFrom": "2019-01-02",
            "filingTo": "2020-05-01",
        },
        {
            "name": "CIK0000000005-submissions-002.json",
            "filingCount": 1,
            "filingFrom": "2001-03-04",
            "filingTo": "2001-03-04",
        },
    ]
    for page in main["filings"]["files"]:
        assert "x-replay-assembled" not in client.get(f"{SUBMISSIONS}/{page['name']}").headers


HEADER = {
    "submission": {
        "ACCESSION-NUMBER": "0000000007-24-000001",
        "TYPE": "4",
        "PERIOD": "20240404",
        "FILING-DATE": "20240408",
        "REPORTING-OWNER": [{"OWNER-DATA": {"CONFORMED-NAME": "Doe Jane", "CIK": "0000000008"}}],
        "ISSUER": [{"COMPANY-DATA": {"CONFORMED-NAME": "Seven Inc", "CIK": "0000000007"}}],
    },
    "documents": [{"TYPE": "4", "SEQUENCE": "1", "FILENAME": "wf-form4.xml"}],
}
OWNERSHIP = """<?xml version="1.0"?>
<ownershipDocument><documentType>4</documentType>
<issuer><issuerCik>0000000007</issuerCik><issuerName>Seven Inc</issuerName></issuer>
<reportingOwner><reportingOwnerId><rptOwnerCik>0000000008</rptOwnerCik><rptOwnerName>Doe Jane</rptOwnerName>
</reportingOwnerId></reportingOwner></ownershipDocument>"""


def test_ownership_documents_are_served_as_far_as_their_accession_is_known(
    tmp_path: Path, serve: Callable[[Path], httpx.Client]
) -> None:
    folder = "sec/form4_xml/SEVN"
    recorded = _write(tmp_path, f"{folder}/0000000007-24-000001.xml", OWNERSHIP)
    _write(tmp_path, f"{folder}/0000000007-24-000001.metadata.json", HEADER)
    _write(tmp_path, f"{folder}/sample-000000000724000002_own.xml", OWNERSHIP)
    _write(tmp_path, f"{folder}/sample-0000000007_24_000003.xml", "<SUBMISSION>\n<ACCESSION-NUMBER>x")
    _write(tmp_path, f"{folder}/cache-0123456789abcdef.xml", OWNERSHIP)
    client = serve(tmp_path)
    for cik in (7, 8):
        answer = client.get(f"{ARCHIVES}/{cik}/000000000724000001/xslF345X05/wf-form4.xml")
        assert answer.content == recorded.read_bytes()
        assert "x-replay-assembled" not in answer.headers
    text = client.get(f"{ARCHIVES}/7/0000000007-24-000001.txt")
    assert text.headers["x-replay-assembled"] == "1"
    # The acceptance time was not recorded and is not invented.
    assert "ACCEPTANCE-DATETIME" not in text.text
    assert "FILED AS OF DATE:\t\t20240408" in text.text
    inside = find_document(text.content, "wf-form4.xml", "")
    assert inside is not None
    assert inside.body.decode() == OWNERSHIP
    assert client.get(f"{ARCHIVES}/7/000000000724000002/own.xml").status_code == 200
    index = client.get("/www.sec.gov/Archives/edgar/daily-index/2024/QTR2/form.20240408.idx").text
    assert "edgar/data/8/0000000007-24-000001.txt" in index
    assert "24-000002" not in index, "its filing date is not known"
    universe = client.get("/__replay__/universe").json()
    reasons = Counter({entry["reason"]: entry["count"] for entry in universe["unserved"]})
    assert reasons == {
        "accession number not recorded: no address under Archives": 1,
        "neither an ownership document nor a submission": 1,
    }


def test_main_documents_of_a_zip(tmp_path: Path, serve: Callable[[Path], httpx.Client]) -> None:
    folder = tmp_path / "sec/8k_main_documents"
    folder.mkdir(parents=True)
    new, old = "5_8K_2020_0000000005-20-000001.htm", "5_8K_1997_0000000005-97-000001.txt"
    with zipfile.ZipFile(folder / "8k_main_documents.zip", "w") as packed:
        packed.writestr(f"8-K/{new}", "<html>new</html>")
        packed.writestr(f"8-K/{old}", "-----BEGIN PRIVACY-ENHANCED MESSAGE-----")
        packed.writestr("8-K/stray.htm", "?")
    columns = "CIK,Company,Type,Filing Date,Period of Report,htm_file_link,filename\n"
    (folder / "filings_metadata.csv").write_text(
        f"{columns}5,Five,8-K,2020-02-03,2020-02-01,https://www.sec.gov/Archives/edgar/data/5/x/d8k.htm,{new}\n"
        f"5,Five,8-K,1997-02-03,1997-02-01,,{old}\n5,Five,10-K,1998-02-03,1997-12-31,,5_10K_1998_0000000005-98-000001.txt\n"
    )
    client = serve(tmp_path)
    assert client.get(f"{ARCHIVES}/5/000000000520000001/d8k.htm").text == "<html>new</html>"
    assert client.get(f"{ARCHIVES}/5/0000000005-20-000001.txt").status_code == 404
    assert client.get(f"{ARCHIVES}/5/0000000005-97-000001.txt").text.startswith("-----BEGIN")
    assert client.get(f"{ARCHIVES}/5/0000000005-98-000001.txt").status_code == 404
    (entry,) = client.get("/__replay__/universe").json()["unserved"]
    assert (entry["count"], entry["reason"]) == (1, "not in the table of filings")


def test_encoded_documents_are_decoded() -> None:
    picture = bytes(range(256)) * 2
    lines = b"".join(binascii.b2a_uu(picture[i : i + 45]) for i in range(0, len(picture), 45))
    block = (
        b"<DOCUMENT>\n<TYPE>GRAPHIC\n<FILENAME>logo.jpg\n<TEXT>\nbegin 644 logo.jpg\n"
        + lines
        + b"`\nend\n</TEXT>\n</DOCUMENT>"
    )
    found = find_document(block, "logo.jpg", "")
    assert found is not None
    assert (found.body, found.media_type) == (picture, "image/jpeg")


def _atom(count: int, first: int, form: str = "4") -> str:
    entries = []
    for number in range(first, first + count):
        updated = f"2025-12-12T18:{59 - number // 60:02d}:{59 - number % 60:02d}-05:00"
        entries.append(
            f"<entry>\n<title>{form} - A</title>\n<updated>{updated}</updated>\n"
            f'<category term="{form}"/>\n<id>{number}</id>\n</entry>\n'
        )
    head = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
    return f"{head}{''.join(entries)}</feed>"


def test_recorded_feed_pages_and_their_holes(tmp_path: Path, serve: Callable[[Path], httpx.Client]) -> None:
    folder = "sec/atom_getcurrent/getcurrent_type-4_start"
    pages = {n: _write(tmp_path, f"{folder}-0{n}00.atom", _atom(100, n * 100)).read_bytes() for n in (0, 1, 3)}
    _write(tmp_path, f"{folder}-0400.atom", "<!DOCTYPE html><html>File Unavailable</html>")
    client = serve(tmp_path)

    def page(start: int, count: int = 100, form: str = "4") -> httpx.Response:
        query = {"action": "getcurrent", "type": form, "start": start, "count": count, "output": "atom"}
        return client.get("/www.sec.gov/cgi-bin/browse-edgar", params=query)

    for number, recorded in pages.items():
        assert page(number * 100).content == recorded
        assert "x-replay-assembled" not in page(number * 100).headers
    # The page that was not recorded repeats the one before it; the walk goes on to the next.
    assert page(200).content == pages[1]
    assert page(200).headers["x-replay-assembled"] == "1"
    assert page(400).headers["content-type"].startswith("text/html")
    assert page(500).text.count("<entry>") == 0
    assert [page(start, 40).text.count("<entry>") for start in (0, 280, 320)] == [40, 20, 0]
    assert page(0, 40, "8-K").text.count("<entry>") == 0


def test_an_empty_archive_answers_everything_with_nothing(
    tmp_path: Path, serve: Callable[[Path], httpx.Client]
) -> None:
    client = serve(tmp_path)
    universe = client.get("/__replay__/universe").json()
    assert universe["entities"] == universe["unserved"] == []
    assert client.get(f"{SUBMISSIONS}/CIK0000320193.json").status_code == 404
    assert client.get("/www.sec.gov/enforcement-litigation/litigation-releases/rss").status_code == 404
    assert client.get("/www.sec.gov/Archives/edgar/daily-index/2024/QTR1/index.json").status_code == 403
    assert "<feed" in client.get("/www.sec.gov/cgi-bin/browse-edgar?action=getcurrent").text
    answer = client.post("/ethereum", json={"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []})
    assert answer.json()["error"]["message"] == "this archive holds no chain"
    with pytest.raises(FileNotFoundError, match="expected a folder"):
        RecordedArchive(tmp_path / "absent")


def _sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _recorded(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@needs_data
@pytest.mark.archive
def test_recorded_documents_are_served_byte_for_byte(recorded: RecordedArchive, recorded_client: httpx.Client) -> None:
    checked: Counter[str] = Counter()
    for folder in ("8k_full_submissions", "form4_full_submissions"):
        for path in sorted((DATA / "sec" / folder).glob("*/*.txt*"))[::4]:
            accession = path.name.split(".")[0]
            filing = recorded.edgar.filing(accession)
            assert filing is not None
            for party in filing.parties[:1]:
                answer = recorded_client.get(f"{ARCHIVES}/{party.cik}/{accession}.txt")
                assert _sha(answer.content) == _sha(_recorded(path)), path
                checked[folder] += 1
    for path in sorted((DATA / "sec/submissions/as_served").iterdir()):
        answer = recorded_client.get(f"{SUBMISSIONS}/{path.name.removesuffix('.gz')}")
        assert _sha(answer.content) == _sha(_recorded(path)), path
        checked["submissions"] += 1
    for path in sorted((DATA / "sec/form4_xml").glob("*/[0-9]*.xml"))[::4]:
        folder = path.stem.replace("-", "")
        filing = recorded.edgar.filing(path.stem)
        assert filing is not None
        (entry,) = recorded.edgar.filing_documents(path.stem)
        answer = recorded_client.get(f"{ARCHIVES}/{filing.parties[0].cik}/{folder}/{entry.name}")
        assert _sha(answer.content) == _sha(path.read_bytes()), path
        checked["form4_xml"] += 1
    for path in sorted((DATA / "sec/index_files").glob("*.20*.idx.gz")):
        name = path.name.removesuffix(".gz")
        quarter = (int(name.split(".")[1][4:6]) + 2) // 3
        url = f"/www.sec.gov/Archives/edgar/daily-index/{name.split('.')[1][:4]}/QTR{quarter}/{name}"
        assert _sha(recorded_client.get(url).content) == _sha(_recorded(path))
        checked["index"] += 1
    assert min(checked.values()) >= 1
    assert len(checked) == 5


@needs_data
@pytest.mark.archive
def test_every_recorded_filing_is_served_or_counted(recorded_client: httpx.Client) -> None:
    universe = recorded_client.get("/__replay__/universe").json()
    served = Counter(row["source"].split("!")[0].rsplit("/", 2)[0] for row in universe["edgar"]["filings"])
    unserved: Counter[str] = Counter()
    for entry in universe["unserved"]:
        unserved[entry["folder"]] += entry["count"]
    for folder, pattern in (
        ("sec/8k_full_submissions", "*/*.txt*"),
        ("sec/form4_full_submissions", "*/*.txt*"),
        ("sec/form4_xml", "*/*.xml"),
    ):
        assert served[folder] + unserved[folder] == len(list((DATA / folder).glob(pattern))), folder
    lists = sum(1 + len(row["pages"]) for row in universe["edgar"]["submissions"])
    made = sum(row["served"] == "assembled" for row in universe["edgar"]["submissions"])
    assert lists - made + unserved["sec/submissions"] == len(list((DATA / "sec/submissions").glob("*/*.json*")))
    assert all(ACCESSION.fullmatch(row["accession"]) and row["ciks"] for row in universe["edgar"]["filings"])


@needs_data
@pytest.mark.archive
def test_what_the_universe_names_can_be_fetched(recorded_client: httpx.Client) -> None:
    universe = recorded_client.get("/__replay__/universe").json()
    for row in universe["edgar"]["filings"][::15]:
        folder = f"{ARCHIVES}/{row['ciks'][0]}/{row['accession'].replace('-', '')}"
        items = recorded_client.get(f"{folder}/index.json").json()["directory"]["item"]
        documents = [item["name"] for item in items[1:]]
        assert documents or "sc13_headers" in row["source"], row
        for name in documents[:2]:
            assert recorded_client.get(f"{folder}/{name}").status_code == 200, (row, name)
    for row in universe["edgar"]["submissions"]:
        assert recorded_client.get(f"{SUBMISSIONS}/CIK{row['cik']:010d}.json").status_code == 200
    for row in universe["market"]["prices"][::12]:
        url = f"/api.polygon.io/v2/aggs/ticker/{row['ticker']}/range/1/day/{row['from']}/{row['to']}"
        answer = recorded_client.get(url, params={"apiKey": "k", "limit": 50_000})
        body = answer.json()
        assert body["signaldelta"]["vintage"] == row["vintage"]
        assert body["resultsCount"] + body["signaldelta"]["dropped_rows"] == row["sessions"]
    known = [pool for pool in universe["chain"]["pools"] if pool["created"] is not None]
    assert len(known) > len(universe["chain"]["pools"]) / 2
    for pool in known[::100]:
        assert int(pool["token0"], 16) < int(pool["token1"], 16), "the contract orders tokens by address"
        body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs"}
        query = {"fromBlock": hex(pool["created"]), "toBlock": hex(pool["created"] + 9_999)}
        found = recorded_client.post("/ethereum", json={**body, "params": [{**query, "address": FACTORY}]}).json()
        mine = [log for log in found["result"] if int(log["data"][2:66], 16) == int(pool["pool"], 16)]
        assert [int(log["blockNumber"], 16) for log in mine] == [pool["created"]]
        before = {
            "fromBlock": hex(pool["created"] - 9_999),
            "toBlock": hex(pool["created"] - 1),
            "address": pool["pool"],
        }
        assert recorded_client.post("/ethereum", json={**body, "params": [before]}).json()["result"] == []


@needs_data
@pytest.mark.archive
def test_nothing_is_written_into_a_recorded_archive(recorded: RecordedArchive, recorded_client: httpx.Client) -> None:
    before = {path: path.stat().st_mtime_ns for path in (DATA / "sec").rglob("*")}
    recorded_client.get("/__replay__/universe")
    recorded_client.get(f"{SUBMISSIONS}/CIK0000320193.json")
    assert {path: path.stat().st_mtime_ns for path in (DATA / "sec").rglob("*")} == before
