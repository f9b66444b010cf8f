"""Hostile documents by name, made of good ones: what a fuzzer would have to find by luck."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Spoil = Callable[[bytes], bytes]


def sub(pattern: bytes, by: bytes, count: int = 1) -> Spoil:
    """Return what puts `by` in place of a pattern."""
    return lambda body: re.sub(pattern, lambda found: found.expand(by), body, count=count, flags=re.DOTALL)


def laughs(levels: int = 12, name: bytes = b"x") -> bytes:
    """Return a document type whose last entity stands for ten to the power of `levels` words."""
    made = b'<!ENTITY l0 "ha">'
    for level in range(1, levels + 1):
        made += b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10)
    return b"<!DOCTYPE " + name + b" [" + made + b"]>"


_DECLARATION = rb"(<\?xml[^>]*\?>)"
_ROOT = rb"(<(?:ownershipDocument|edgarSubmission)[^>]*>)"
_SHARES = rb"(<(?:transactionShares>\s*<value|noOfUnitsSold)>)[^<]*"
_TRADED = rb"(<transactionDate>\s*<value>)[^<]*"
_ACCEPTED = rb"(<ACCEPTANCE-DATETIME>)\S+"

# The whole text of a submission, spoiled.
SUBMISSIONS: Mapping[str, Spoil] = {
    "nothing at all": lambda body: b"",
    "a page for people": lambda body: b"<!DOCTYPE html><html><body>Site unavailable</body></html>",
    "cut in the header": lambda body: body[:300],
    "cut in the text": lambda body: body[: len(body) * 2 // 3],
    "in UTF-16": lambda body: body.decode("latin-1").encode("utf-16"),
    "a NUL in the header": sub(rb"(COMPANY CONFORMED NAME:\s*)", rb"\g<1>\0"),
    "the accession number of another filing": sub(rb"(ACCESSION NUMBER:\s*)[0-9-]+", rb"\g<1>0000000009-24-000009"),
    "accepted in 1900": sub(_ACCEPTED, rb"\g<1>19000102120000"),
    "accepted in 2100": sub(_ACCEPTED, rb"\g<1>21001231120000"),
    "accepted on no day": sub(_ACCEPTED, rb"\g<1>20240231120000"),
    "filed in 2100": sub(rb"(FILED AS OF DATE:\s*)\d+", rb"\g<1>21001231"),
    "filed in 1900": sub(rb"(FILED AS OF DATE:\s*)\d+", rb"\g<1>19000101"),
    "a CIK of eleven digits": sub(rb"(CENTRAL INDEX KEY:\s*)\d+", rb"\g<1>12345678901", 0),
    "a text that does not end": sub(rb"</TEXT>", rb"", 0),
    "a document without text": sub(rb"<TEXT>.*?</TEXT>", rb""),
    "no document": sub(rb"<DOCUMENT>.*</DOCUMENT>", rb""),
    "words that are no item": sub(rb"(ITEM INFORMATION:[ \t]*)[^\r\n]*", rb"\g<1>Gossip about the Registrant"),
    "item 99.99": sub(rb"(ITEM INFORMATION:[ \t]*)[^\r\n]*", rb"\g<1>99.99", 0),
    "no items": sub(rb"ITEM INFORMATION:[^\n]*\n", rb"", 0),
    "blanks by the hundred thousand": sub(rb"(COMPANY CONFORMED NAME:)", rb"\g<1>x" + b" " * 200_000 + b"y"),
    "an external entity": sub(_DECLARATION, rb'\g<1><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
    "a billion laughs": sub(_DECLARATION, rb"\g<1>" + laughs()),
    "a thousand levels": sub(_ROOT, rb"\g<1>" + b"<a>" * 1000 + b"</a>" * 1000),
    "a negative number of shares": sub(_SHARES, rb"\g<1>-5000"),
    "shares without end": sub(_SHARES, rb"\g<1>" + b"9" * 500),
    "1e999 shares": sub(_SHARES, rb"\g<1>1e999"),
    "shares in Arabic digits": sub(_SHARES, rb"\g<1>" + "٣٤".encode()),
    "traded in 1900": sub(_TRADED, rb"\g<1>1900-01-01", 0),
    "traded in 2100": sub(_TRADED, rb"\g<1>2100-12-31", 0),
    "traded on no day": sub(_TRADED, rb"\g<1>2024-02-30"),
    "no owner": sub(rb"<reportingOwner>.*</reportingOwner>", rb""),
    "two issuers": sub(rb"(<issuer>.*?</issuer>)", rb"\g<1>\g<1>"),
    "a line of another name": sub(rb"nonDerivativeTransaction>", b"nonDerivativeTransactions>", 0),
    "a table of another name": sub(rb"nonDerivativeTable>", b"nonDerivativeTables>", 0),
    "the table twice": sub(rb"(<nonDerivativeTable>.*?</nonDerivativeTable>)", rb"\g<1>\g<1>"),
}  # fmt: skip
