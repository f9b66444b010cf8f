"""The EDGAR parsers against another's reading of the same documents: edgartools, on every recorded one.

edgartools asks the live service whether an owner is a company, to turn names round; that call is cut off here, and
names are compared in the document's order.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from signaldelta_assets.collectors.edgar.parsers import form_8k_payload, parse_ownership, parse_submission
from signaldelta_assets.collectors.edgar.parsers.ownership import ownership_document
from signaldelta_assets.errors import RecordError
from signaldelta_assets.timeline import header_acceptance_to_utc
from tests.paths import DATA, needs_data

pytestmark = [needs_data, pytest.mark.archive]

_MARKS = re.compile(r"\s*\[F\d+(?:,F\d+)*\]")

# Recorded files that hold no ownership XML, and why each is refused.
NOT_OWNERSHIP = {
    "sample-0001127602_25_004598.xml": "a submission in the dissemination feed's tag format, no XML document",
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Owners are taken as companies, so that names stay as they are, and nothing is asked for."""
    answer = SimpleNamespace(data=SimpleNamespace(is_company=True))
    monkeypatch.setattr("edgar.ownership.owners.Entity", lambda cik: answer)


def ownership_documents() -> list[tuple[str, bytes]]:
    found = [(path.name, path.read_bytes()) for path in sorted(DATA.glob("sec/form4_xml/*/*.xml"))]
    for path in sorted(DATA.glob("sec/form4_full_submissions/*/*.txt")):
        found.append((path.name, ownership_document(parse_submission(path.read_bytes(), path.stem))))
    return [(name, body) for name, body in found if name not in NOT_OWNERSHIP]


def plain(value: Any) -> Any:
    """edgartools appends the footnotes of a value to it: ``23054 [F2]``."""
    return _MARKS.sub("", value) if isinstance(value, str) else value


def same_number(ours: str | None, theirs: Any) -> bool:
    theirs = plain(theirs)
    if theirs is None or theirs == "" or (isinstance(theirs, float) and pd.isna(theirs)):
        return ours is None
    return ours is not None and float(ours) == float(theirs)


def same_text(ours: str | None, theirs: Any) -> bool:
    theirs = "" if theirs is None or (isinstance(theirs, float) and pd.isna(theirs)) else str(plain(theirs))
    return " ".join((ours or "").split()) == " ".join(theirs.split())


def same_day(ours: str | None, theirs: Any) -> bool:
    """An xs:date may carry a zone, which edgartools keeps."""
    return same_text(ours, str(plain(theirs) or "")[:10])


COLUMNS = {
    "security_title": ("Security", same_text),
    "transaction_date": ("Date", same_day),
    "shares": ("Shares", same_number),
    "price": ("Price", same_number),
    "acquired_disposed": ("AcquiredDisposed", same_text),
    "shares_owned_following": ("Remaining", same_number),
    "direct_indirect": ("DirectIndirect", same_text),
    "code": ("Code", same_text),
    "form_type": ("form", same_text),
    "equity_swap_involved": ("EquitySwap", lambda a, b: a == bool(b)),
    "footnote_ids": ("footnotes", lambda a, b: set(a) == set((b or "").split("\n")) - {""}),
}
NON_DERIVATIVE = COLUMNS | {"nature_of_ownership": ("NatureOfOwnership", same_text)}
DERIVATIVE = COLUMNS | {
    "underlying_title": ("Underlying", same_text),
    "underlying_shares": ("UnderlyingShares", same_number),
    "conversion_price": ("ExercisePrice", same_number),
    "exercise_date": ("ExerciseDate", same_day),
    "expiration_date": ("ExpirationDate", same_day),
}


def line_differences(name: str, lines: list[dict[str, Any]], table: Any, columns: dict[str, Any]) -> list[str]:
    theirs = [] if table is None or table.empty else table.data.to_dict("records")
    if len(lines) != len(theirs):
        return [f"{name}: lines {len(lines)} and {len(theirs)}"]
    return [
        f"{name}[{n}].{ours}: {line[ours]!r} and {row.get(column)!r}"
        for n, (line, row) in enumerate(zip(lines, theirs, strict=True))
        for ours, (column, same) in columns.items()
        if not same(line[ours], row.get(column))
    ]


def test_ownership_documents_field_by_field() -> None:
    from edgar.ownership import Ownership

    differences: list[str] = []
    documents = ownership_documents()
    compared = 0
    for name, body in documents:
        ours = parse_ownership(body, name)
        theirs = Ownership.parse_xml(body.decode("utf-8"))
        pairs = {
            "document_type": (ours["document_type"], theirs["form"]),
            "period": (ours["period_of_report"], theirs["reporting_period"][:10]),
            "issuer.cik": (ours["issuer"]["cik"], theirs["issuer"].cik.zfill(10)),
            "issuer.name": (ours["issuer"]["name"] or "", " ".join(theirs["issuer"].name.split())),
            "issuer.symbol": (ours["issuer"]["symbol"] or "", " ".join(theirs["issuer"].ticker.split())),
            "aff10b5_one": (ours["aff10b5_one"], theirs["aff10b5_one"]),
            "owners": (
                [(o["cik"], o["is_director"], o["is_officer"], o["is_ten_percent_owner"]) for o in ours["owners"]],
                [
                    (o.cik.zfill(10), o.is_director, o.is_officer, o.is_ten_pct_owner)
                    for o in theirs["reporting_owners"].owners
                ],
            ),
            "signatures": (len(ours["signatures"]), len(theirs["signatures"].signatures)),
        }
        differences += [f"{name}.{field}: {a!r} and {b!r}" for field, (a, b) in pairs.items() if a != b]
        tables = theirs["non_derivative_table"], theirs["derivative_table"]
        differences += line_differences(
            name, ours["non_derivative_transactions"], tables[0].transactions, NON_DERIVATIVE
        )
        differences += line_differences(name, ours["derivative_transactions"], tables[1].transactions, DERIVATIVE)
        differences += [
            f"{name}: footnote {key}"
            for key, text in ours["footnotes"].items()
            if not same_text(text, theirs["footnotes"].get(key))
        ]
        compared += 1
    assert compared == len(documents) > 400
    assert differences == []


def test_what_holds_no_ownership_xml_is_refused_with_its_reason() -> None:
    for name in NOT_OWNERSHIP:
        for path in DATA.glob(f"sec/form4_xml/*/{name}"):
            with pytest.raises(RecordError, match="well-formed XML"):
                parse_ownership(path.read_bytes(), name)


def test_8k_headers_and_items() -> None:
    from edgar.sgml.sgml_parser import SGMLParser

    differences: list[str] = []
    files = sorted(DATA.glob("sec/8k_full_submissions/*/*.gz"))
    for path in files:
        body = gzip.decompress(path.read_bytes())
        differences += header_differences(path, body, SGMLParser().parse(body.decode("utf-8", errors="replace")))
    assert len(files) > 100
    assert differences == []


def header_differences(path: Path, body: bytes, theirs: dict[str, Any]) -> list[str]:
    from edgar.sgml.sgml_header import FilingHeader

    ours = parse_submission(body, path.name[:20])
    ((_, payload),) = form_8k_payload(ours)
    header = FilingHeader.parse_from_sgml_text(theirs["header"])
    filer = header.filers[0].company_information
    documents = theirs["documents"]
    pairs = {
        "accession": (ours.accession, header.accession_number),
        "form": (ours.form, header.form),
        "filed": (payload["filed_date"], header.filing_date),
        "period": (payload["period_of_report"], header.period_of_report),
        "accepted": (ours.accepted_at, header_acceptance_to_utc(f"{header.acceptance_datetime:%Y%m%d%H%M%S}")),
        "registrant": (payload["registrants"], [{"cik": filer.cik.zfill(10), "name": filer.name}]),
        "documents": (
            [(d["type"], d["sequence"], d["filename"]) for d in payload["documents"]],
            [(d["type"], d["sequence"], d["filename"]) for d in documents],
        ),
    }
    return [f"{path.name}.{field}: {a!r} and {b!r}" for field, (a, b) in pairs.items() if a != b]
