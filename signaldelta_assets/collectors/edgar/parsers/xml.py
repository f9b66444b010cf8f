"""XML from outside, read safely; and the values of EDGAR's XML forms (144, Schedules 13D and 13G).

No entities, no document types, nothing fetched, nothing repaired.

Sources: EDGAR Form 144 and Schedule 13D/G XML Technical Specifications. Their dates are MM/DD/YYYY, their flags Y or N.
Decimals stay text, exactly as in the document; an empty value is None.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from lxml import etree

from signaldelta_assets.errors import RecordError

from .sgml import Submission
from .values import decimal, folded, iso_date

_US_DATE = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4})")
# The encodings in which a byte below 128 is the character it is in ASCII, so that what stands in a body can be seen.
_ENCODINGS = frozenset({"utf-8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1", "windows-1252", "cp1252"})
_DECLARATION = re.compile(rb"<\?xml\s[^>]*?\bencoding\s*=\s*[\"']([^\"']*)")
_BOM = b"\xef\xbb\xbf"
_FLAGS = {"Y": True, "N": False, "true": True, "false": False, "1": True, "0": False}


def xml_root(body: bytes, record: str) -> Any:
    """Return the root of a document: no comments, no blanks that only lay it out. Raises RecordError.

    A document type is refused before anything is parsed: no document of the SEC has one, and it is where XML is turned
    against its reader (billion laughs, values given to every element, external files). An encoding that could hide one
    is refused too.
    """
    body = body.strip().removeprefix(_BOM)
    declared = _DECLARATION.match(body)
    encoding = declared[1].decode("latin-1").lower() if declared else "utf-8"
    if encoding not in _ENCODINGS or b"\0" in body:
        raise RecordError(record, "body", f"an encoding out of {', '.join(sorted(_ENCODINGS))}", body[:80])
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise RecordError(record, "body", "no document type declaration", body[:80])
    # A parser per document: lxml parsers are not for several threads.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=False, huge_tree=False,
        remove_blank_text=True, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        return etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise RecordError(record, "body", "a well-formed XML document", error) from error


def parse_xml(body: bytes, record: str) -> Any:
    """Return the root of a document, names without namespace; see `xml_root`."""
    root = xml_root(body, record)
    if root.tag.startswith("{") or b"xmlns" in body:
        for element in root.iter("{*}*"):
            # Some filers' software declares a namespace; the names within it are the same.
            element.tag = etree.QName(element).localname
    return root


def edgar_root(body: bytes, record: str) -> Any:
    """Return the edgarSubmission element, see `parse_xml`. Raises RecordError."""
    root = parse_xml(body, record)
    if root.tag != "edgarSubmission":
        raise RecordError(record, "root", "edgarSubmission", root.tag)
    return root


def xml_document(submission: Submission) -> bytes | None:
    """Return the XML of a submission's own form, None where it was filed as text or HTML."""
    for document in submission.documents:
        if document.type == submission.form and document.filename.lower().endswith(".xml"):
            return document.body
    return None


def text(element: Any, path: str) -> str | None:
    """Return the folded text at `path`, None where absent or empty."""
    found = None if element is None else element.find(path)
    if found is None:
        return None
    return folded("".join(map(str, found.itertext())).replace("\n", " ")) or None


def texts(element: Any, path: str) -> list[str]:
    """Return the folded texts of all elements at `path` that have one."""
    found = (folded("".join(map(str, one.itertext())).replace("\n", " ")) for one in element.findall(path))
    return [value for value in found if value]


def amount(element: Any, path: str, record: str) -> str | None:
    """Return a number that is not negative, as text."""
    return decimal(record, path, text(element, path))


def flag(element: Any, path: str, record: str) -> bool | None:
    """Return a flag Y or N; the filers' software writes true, false, 1 and 0 as well."""
    value = text(element, path)
    if value is not None and value not in _FLAGS:
        raise RecordError(record, path, "Y or N", value)
    return None if value is None else _FLAGS[value]


def us_date(record: str, field: str, value: str | None) -> str | None:
    """Return the MM/DD/YYYY of these forms as YYYY-MM-DD, None for an absent value."""
    if not value:
        return None
    found = _US_DATE.fullmatch(value)
    if found is None:
        return iso_date(record, field, value)
    month, day, year = (int(part) for part in found.groups())
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise RecordError(record, field, "a date MM/DD/YYYY", value) from None
