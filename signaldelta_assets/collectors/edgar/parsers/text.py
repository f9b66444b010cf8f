"""HTML or plain text of a filing to running text: tags removed, entities decoded, blanks folded, paragraphs kept."""

from __future__ import annotations

import re
from typing import Any

from lxml import etree, html

from signaldelta_assets.errors import RecordError

from .values import folded

_BLOCKS = frozenset(
    {"address", "article", "blockquote", "body", "br", "center", "dd", "div", "dl", "dt", "fieldset", "footer", "form"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "ol", "p", "pre", "section"}
    | {"table", "tbody", "tfoot", "thead", "title", "tr", "ul"}
)
_CELLS = frozenset({"td", "th"})
_SILENT = frozenset({"script", "style", "head", "ix:header"})
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_LOOKS_HTML = re.compile(rb"<\s*(?:!doctype\s+html|html|body|div|p|table|font)\b", re.IGNORECASE)
_SGML_TAGS = re.compile(r"</?(?:PAGE|TABLE|CAPTION|S|C|FN|R|TEXT)>", re.IGNORECASE)


def decode(body: bytes) -> str:
    """Return the document's characters: UTF-8 where it is, else Windows-1252 as EDGAR's filers write it."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")


def document_text(body: bytes, record: str) -> str:
    """Return the running text of a document, one line per paragraph, empty lines left out."""
    text = _html_text(body, record) if _LOOKS_HTML.search(body[:20_000]) else _SGML_TAGS.sub(" ", decode(body))
    lines = (folded(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    return "\n".join(line for line in lines if line)


def _html_text(body: bytes, record: str) -> str:
    characters = decode(body)
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = html.document_fromstring(characters.encode("utf-8", errors="replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError, ValueError) as error:
        raise RecordError(record, "text", "an HTML document", error) from error
    pieces: list[str] = []
    _walk(root, pieces)
    return "".join(pieces)


def _walk(root: Any, pieces: list[str]) -> None:
    # Depth first without recursion: filings nest deeper than Python's stack.
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        element, leaving = stack.pop()
        tag = element.tag if isinstance(element.tag, str) else ""
        block = tag in _BLOCKS
        if leaving:
            pieces.append("\n" if block else " " if tag in _CELLS else "")
            if element is not root and element.tail:
                pieces.append(_inline(element.tail))
            continue
        if tag in _SILENT or _HIDDEN.search(element.get("style") or ""):
            if element is not root and element.tail:
                pieces.append(_inline(element.tail))
            continue
        if block:
            pieces.append("\n")
        if element.text:
            pieces.append(_inline(element.text))
        stack.append((element, True))
        stack.extend((child, False) for child in reversed(element))


def _inline(text: str) -> str:
    # A line break in the source of HTML is a blank.
    return text.replace("\n", " ").replace("\r", " ")
