"""Recorded filings: full submission texts, ownership XML, 8-K main documents, shortened headers.

Each kind of folder has its own adapter; all answer the same four questions (which accessions, what the header says,
the submission text, the documents). The first adapter that holds an accession serves it.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

from lxml import etree

from ..archive import Document, Filing, FilingDocument, Party, Tally
from ..sgml import (
    ACCESSION,
    documents,
    find_document,
    header_of,
    media_type,
    parse_dissemination,
    parse_header,
    write_submission,
)
from .files import document, listing, read, read_head, relative, rows, stem

# The longest recorded header (many co-registrants with former names) is far below this.
_HEADER_BYTES = 65_536
# Stands in where the name of an ownership document was not recorded.
_COMMON_NAME = "form4.xml"
# `sample-*` names carry the accession without dashes or with underscores, and sometimes the document's name.
_SAMPLE = re.compile(r"sample-(\d{10})[-_]?(\d{2})[-_]?(\d{6})(?:_(\w+))?")


class FilingSource(Protocol):
    """One folder's adapter."""

    def accessions(self) -> Iterable[str]: ...
    def filing(self, accession: str) -> Filing | None: ...
    def text(self, accession: str) -> Document | None: ...
    def documents(self, accession: str) -> Sequence[FilingDocument]: ...
    def document(self, accession: str, name: str) -> Document | None: ...
    def unserved(self, tally: Tally) -> None: ...


class FullSubmissions:
    """Folders of `<TICKER>/<accession>.txt[.gz]`, or of texts whose header has the accession: served byte for byte."""

    def __init__(self, root: Path, folder: str, pattern: str = "*/*.txt*") -> None:
        self._root, self._folder, self._pattern = root, folder, pattern

    @cached_property
    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in listing(self._root / self._folder, self._pattern):
            name = stem(path)
            if not ACCESSION.fullmatch(name):
                header = parse_header(header_of(read_head(path, _HEADER_BYTES)), "")
                name = header.accession if header else ""
            if name:
                found.setdefault(name, path)
        return found

    def accessions(self) -> Iterable[str]:
        return self._paths.keys()

    @cache  # noqa: B019 - an adapter lives as long as its archive
    def filing(self, accession: str) -> Filing | None:
        path = self._paths.get(accession)
        if path is None:
            return None
        return parse_header(header_of(read_head(path, _HEADER_BYTES)), relative(self._root, path))

    def text(self, accession: str) -> Document | None:
        path = self._paths.get(accession)
        return document(self._root, path, "text/plain") if path else None

    def documents(self, accession: str) -> Sequence[FilingDocument]:
        return [entry for entry, _ in documents(read(self._paths[accession]))]

    def document(self, accession: str, name: str) -> Document | None:
        path = self._paths[accession]
        return find_document(read(path), name, relative(self._root, path))

    def unserved(self, tally: Tally) -> None:
        paths = listing(self._root / self._folder, self._pattern)
        tally.add(self._folder, len(paths) - len(self._paths), "no accession number, or a second copy")


@dataclass(frozen=True, slots=True)
class _Ownership:
    """One ownership document: its filing's facts, its name and type, its bytes, and whether they are the whole file."""

    filing: Filing
    name: str
    kind: str
    body: bytes
    whole: bool


class OwnershipXml:
    """`sec/form4_xml`: ownership documents beside their parsed header. Whole documents, but no submission text."""

    folder = "sec/form4_xml"

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _paths(self) -> dict[str, tuple[Path, str | None]]:
        """accession -> (file, document name where the file name has one)."""
        found: dict[str, tuple[Path, str | None]] = {}
        for path in listing(self._root / self.folder, "*/*.xml*"):
            name = stem(path)
            sample = _SAMPLE.fullmatch(name)
            if ACCESSION.fullmatch(name):
                found.setdefault(name, (path, None))
            elif sample:
                document_name = f"{sample[4]}.xml" if sample[4] else None
                found.setdefault(f"{sample[1]}-{sample[2]}-{sample[3]}", (path, document_name))
        return found

    def accessions(self) -> Iterable[str]:
        return self._paths.keys()

    @cache  # noqa: B019 - an adapter lives as long as its archive
    def _load(self, accession: str) -> _Ownership | None:
        """What is known of one filing; None where it is not held or cannot be read."""
        if accession not in self._paths:
            return None
        path, name = self._paths[accession]
        source, raw = relative(self._root, path), read(path)
        if raw.lstrip().startswith(b"<SUBMISSION>"):
            # The dissemination feed's own form: tagged header, then the document.
            filing = parse_dissemination(header_of(raw), source)
            inside = [pair for pair in documents(raw) if pair[0].name.lower().endswith(".xml")]
            if filing is None or not inside:
                return None
            return _Ownership(filing, inside[0][0].name, inside[0][0].form, inside[0][1], whole=False)
        beside = path.with_name(f"{stem(path)}.metadata.json")
        if beside.is_file():
            header = json.loads(beside.read_bytes())
            filing = _filing_of(accession, header["submission"], source)
            listed = [entry for entry in header["documents"] if entry["FILENAME"].lower().endswith(".xml")]
            first = listed[0] if listed else {"FILENAME": _COMMON_NAME, "TYPE": filing.form}
            return _Ownership(filing, first["FILENAME"], first["TYPE"], raw, whole=True)
        filing = _filing_of_xml(accession, raw, source)
        return _Ownership(filing, name or _COMMON_NAME, filing.form, raw, whole=True) if filing else None

    def filing(self, accession: str) -> Filing | None:
        loaded = self._load(accession)
        return loaded.filing if loaded else None

    def text(self, accession: str) -> Document | None:
        """The submission text assembled from the parsed header: without acceptance time, which was not recorded."""
        loaded = self._load(accession)
        if loaded is None:
            return None
        xml = loaded.body.decode("utf-8", "replace").rstrip("\n")
        body = write_submission(loaded.filing, [(loaded.kind, loaded.name, xml)])
        return Document(body, "text/plain", loaded.filing.source, assembled=True)

    def documents(self, accession: str) -> Sequence[FilingDocument]:
        loaded = self._load(accession)
        return [FilingDocument(loaded.name, loaded.kind, len(loaded.body))] if loaded else []

    def document(self, accession: str, name: str) -> Document | None:
        loaded = self._load(accession)
        if loaded is None or name != loaded.name:
            return None
        if loaded.whole:
            return document(self._root, self._paths[accession][0], media_type(name))
        return Document(loaded.body, media_type(name), loaded.filing.source, assembled=True)

    def unserved(self, tally: Tally) -> None:
        used = {path for path, _ in self._paths.values()}
        rest = [path for path in listing(self._root / self.folder, "*/*.xml*") if path not in used]
        tally.add(self.folder, len(rest), "accession number not recorded: no address under Archives")
        broken = sum(self._load(accession) is None for accession in self._paths)
        tally.add(self.folder, broken, "neither an ownership document nor a submission")


class MainDocumentsZip:
    """`sec/8k_main_documents`: 8-K main documents in a zip, their filing's facts in a table."""

    folder = "sec/8k_main_documents"

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _zip(self) -> zipfile.ZipFile | None:
        path = self._root / self.folder / "8k_main_documents.zip"
        return zipfile.ZipFile(path) if path.is_file() else None

    @cached_property
    def _members(self) -> dict[str, tuple[str, dict[str, str]]]:
        """accession -> (member of the zip, its row of the table)."""
        table = self._root / self.folder / "filings_metadata.csv"
        if self._zip is None or not table.is_file():
            return {}
        names = {member.rsplit("/", 1)[-1]: member for member in self._zip.namelist()}
        found: dict[str, tuple[str, dict[str, str]]] = {}
        for row in rows(table):
            accession = ACCESSION.search(row["filename"])
            if accession and row["filename"] in names:
                found.setdefault(accession.group(), (names[row["filename"]], row))
        return found

    def accessions(self) -> Iterable[str]:
        return self._members.keys()

    def filing(self, accession: str) -> Filing | None:
        if accession not in self._members:
            return None
        member, row = self._members[accession]
        return Filing(
            accession=accession,
            form=row["Type"],
            filed=date.fromisoformat(row["Filing Date"]) if row["Filing Date"] else None,
            accepted=None,
            period=row["Period of Report"].replace("-", "") or None,
            items=(),
            parties=(Party(int(row["CIK"]), row["Company"], "filer"),),
            source=f"{self.folder}/8k_main_documents.zip!{member}",
        )

    def _read(self, accession: str, kind: str) -> Document:
        assert self._zip is not None  # a member exists only where the zip does
        member = self._members[accession][0]
        source = f"{self.folder}/8k_main_documents.zip!{member}"
        return Document(self._zip.read(member), kind, source)

    def _name(self, accession: str) -> str | None:
        link = self._members[accession][1]["htm_file_link"]
        return link.rsplit("/", 1)[-1] if link else None

    def text(self, accession: str) -> Document | None:
        """Old filings are one text, served as recorded; of newer ones only the main document was recorded."""
        if accession not in self._members or self._name(accession):
            return None
        return self._read(accession, "text/plain")

    def documents(self, accession: str) -> Sequence[FilingDocument]:
        assert self._zip is not None
        member, row = self._members[accession]
        name = self._name(accession) or f"{accession}.txt"
        return [FilingDocument(name, row["Type"], self._zip.getinfo(member).file_size)]

    def document(self, accession: str, name: str) -> Document | None:
        return self._read(accession, media_type(name)) if name == self._name(accession) else None

    def unserved(self, tally: Tally) -> None:
        if self._zip is not None:
            rest = len([n for n in self._zip.namelist() if not n.endswith("/")]) - len(self._members)
            tally.add(self.folder, rest, "not in the table of filings")


def _filing_of(accession: str, fields: Mapping[str, Any], source: str) -> Filing:
    """The filing as a parsed header (`.metadata.json`) has it."""
    parties = [
        _party(data.get(block, {}), role)
        for key, block, role in (
            ("REPORTING-OWNER", "OWNER-DATA", "reporting-owner"),
            ("ISSUER", "COMPANY-DATA", "issuer"),
        )
        for data in _as_list(fields.get(key))
    ]
    return Filing(
        accession=accession,
        form=fields["TYPE"],
        filed=_day(fields.get("FILING-DATE")),
        accepted=None,
        period=fields.get("PERIOD"),
        items=(),
        parties=tuple(party for party in parties if party is not None),
        source=source,
    )


def _filing_of_xml(accession: str, raw: bytes, source: str) -> Filing | None:
    """The filing as far as its ownership document tells it: no filing date. None where it is not such a document."""
    try:
        root = etree.fromstring(raw, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return None
    issuer = _xml(root, "issuerCik")
    if not issuer.isdigit():
        return None
    parties = [Party(int(issuer), _xml(root, "issuerName"), "issuer")]
    for owner in root.iter("reportingOwnerId"):
        parties.append(Party(int(_xml(owner, "rptOwnerCik")), _xml(owner, "rptOwnerName"), "reporting-owner"))
    return Filing(accession, _xml(root, "documentType"), None, None, None, (), tuple(parties), source)


def _xml(node: etree._Element, tag: str) -> str:
    return (node.findtext(f".//{tag}") or "").strip()


def _as_list(value: Any) -> list[Mapping[str, Any]]:
    return value if isinstance(value, list) else [value] if value else []


def _party(data: Mapping[str, Any], role: str) -> Party | None:
    cik = data.get("CIK")
    return Party(int(cik), str(data.get("CONFORMED-NAME", "")), role) if cik else None


def _day(text: str | None) -> date | None:
    return datetime.strptime(text, "%Y%m%d").date() if text else None  # noqa: DTZ007 - a date, not a moment
