"""XML from outside, read safely: no entities, no document types, nothing fetched, nothing repaired."""

from __future__ import annotations

from typing import Any

from lxml import etree

from signaldelta_assets.errors import RecordError


def parse_xml(body: bytes, record: str) -> Any:
    """Return the root of a document, names without namespace, no comments, no blanks that only lay it out.

    A document type is refused outright: no SEC schema has one, and entities are where XML is turned against its
    reader (billion laughs, external files). Raises RecordError, also where it is not well-formed.
    """
    # A parser per document: lxml parsers are not for several threads.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=False, huge_tree=False,
        remove_blank_text=True, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(body.strip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise RecordError(record, "body", "a well-formed XML document", error) from error
    document_type = root.getroottree().docinfo.doctype
    if document_type:
        raise RecordError(record, "body", "no document type declaration", document_type)
    if root.tag.startswith("{") or b"xmlns" in body:
        for element in root.iter("{*}*"):
            # Some filers' software declares a namespace; the names within it are the same.
            element.tag = etree.QName(element).localname
    return root
