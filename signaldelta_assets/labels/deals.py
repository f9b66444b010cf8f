"""What an 8-K says of a deal: whether it tells of one being signed, of which side the filer is, and with whom.

A deal is signed where a word of signing (RX_SIGN) stands shortly before the name of a deal's agreement (RX_DEAL) or the
sale or purchase of a business (RX_DEAL_OBJECT), and what is signed there is neither a loan (RX_FIN) nor an amendment
(RX_AMENDS) nor a trade in the filer's own shares (RX_OWN_SHARES). The text is the item's own: where it only refers to
another item, that one's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..extractors import EightK, item_text
from .base import LabelParams

# A name ends in its legal form; commas stand between names and before the form, never inside one.
_NAME = re.compile(
    r"\b(?:[a-z]?[A-Z][\w&'\u2019.-]*\s+(?:of\s+)?)(?:[a-z]?[A-Z0-9&][\w&'\u2019.-]*\s+(?:of\s+)?){0,5}?"
    r"(?:Inc|Incorporated|Corp|Corporation|Co|Company|Ltd|Limited|LLC|LLP|L\.?P|plc|PLC|AG|GmbH|N\.?V|B\.?V|S\.?A"
    r"|S\.?p\.?A|SE|AB|ASA)\b"
)
_COMMA = re.compile(r",(?= (?:Inc|Corp|Ltd|Limited|LLC|LLP|L\.?P|plc|N\.?V|B\.?V|S\.?A|Co)\b)")
_WORD = re.compile(r"[A-Z0-9]+")
# The short form that a text gives a party, in brackets after its name: (“Nuance”), (the "Company" or "we").
_SHORT = re.compile(r"\((?:the |collectively,? |together .{0,60}?)?[“\"]([^”\"]{1,40})[”\"]")
_REFERS = re.compile(r"\bitems?\s*(\d\.\d\d)", re.I)


@dataclass(frozen=True, slots=True)
class Signing:
    """A deal that a text tells of: its parties besides the filer, and the filer's own side where the text says it."""

    parties: frozenset[str]
    side: str | None
    amends: bool


def own_text(filing: EightK, item: str, params: LabelParams) -> str | None:
    """Return the text of `item`, or of the item that it merely refers to; the whole text where no heading is found."""
    if filing.text is None:
        return None
    text = item_text(filing.text, item)
    if text is None:
        return filing.text
    if len(text) <= params["reference_characters"]:
        for number in _REFERS.findall(text):
            other = item_text(filing.text, number) if number in params["referred_items"] else None
            if other:
                return other
    return text


def signing(filing: EightK, text: str, params: LabelParams) -> Signing | None:
    """Return the deal whose signing `text` tells of in its head, or None."""
    head = " ".join(text[: params["head_characters"]].split())
    signed = _signed(head, params)
    # What is said further on is of the same agreement.
    if not signed or _of_own_shares(head, signed[0][1], params):
        return None
    amends = params.pattern("RX_AMENDS").search(head, *signed[0]) is not None
    return Signing(_parties(filing, head, params), _side(filing, head, params), amends)


def same_deal(first: Signing | None, second: Signing | None) -> bool:
    """Return True unless both texts name their parties and none is named in both."""
    if first is None or second is None or not first.parties or not second.parties:
        return True
    return not first.parties.isdisjoint(second.parties)


def _signed(head: str, params: LabelParams) -> list[tuple[int, int]]:
    """Return (start of the word of signing, end of the deal's name) of each signing, in the order of the text."""
    found = []
    for name in ("RX_DEAL", "RX_DEAL_OBJECT"):
        for deal in params.pattern(name).finditer(head):
            since = max(deal.start() - params["sign_characters"], 0)
            signs = list(params.pattern("RX_SIGN").finditer(head, since, deal.end()))
            # Of several words of signing the nearest is the deal's own.
            if signs and params.pattern("RX_FIN").search(head, signs[-1].start(), deal.end()) is None:
                found.append((signs[-1].start(), deal.end()))
    return sorted(found)


def _of_own_shares(head: str, stop: int, params: LabelParams) -> bool:
    return params.pattern("RX_OWN_SHARES").search(head, stop, stop + params["object_characters"]) is not None


def _own_names(filing: EightK, tables: Mapping[str, Any]) -> list[tuple[str, ...]]:
    registrants: Sequence[Mapping[str, Any]] = filing.record.payload.get("registrants") or ()
    return [core for party in registrants if (core := _core(str(party.get("name") or ""), tables))]


def _core(name: str, tables: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words of a name in capitals, without its legal form and an article."""
    words = _WORD.findall(name.upper().replace("’", "").replace("'", "").replace(".", ""))
    while len(words) > 1 and words[-1] in tables["legal_forms"]:
        words.pop()
    return tuple(words[1:] if words[:1] == ["THE"] else words)


def _parties(filing: EightK, head: str, params: LabelParams) -> frozenset[str]:
    """Return the companies named in `head` other than the filer and those that stand in many deals."""
    own = {" ".join(core) for core in _own_names(filing, params.tables)}
    # A comma before the legal form belongs to the name.
    plain = _COMMA.sub(" ", head)
    found = {" ".join(_core(match[0], params.tables)) for match in _NAME.finditer(plain)}
    return frozenset(found - own - {"", *params.tables["not_deal_parties"]})


def _side(filing: EightK, head: str, params: LabelParams) -> str | None:
    """Return "acquirer", "divestiture" or "target" where the text says it, else None.

    The filer's own short form decides where it is Buyer, Seller or Target, and where the merging subsidiary is the
    filer's. Else the filer is the target where shares are converted into a price, and else the first verb of selling
    or of buying counts.
    """
    short = _own_short(filing, head, params)
    for side, expression in (("acquirer", "RX_SHORT_BUYER"), ("divestiture", "RX_SHORT_SELLER")):
        if short and params.pattern(expression).search(short):
            return side
    owned = short and re.search(rf"subsidiary of (the )?{re.escape(short)}\b", head, re.I)
    if owned is None and params.pattern("RX_TARGET").search(filing.text or ""):
        return "target"
    sells, buys = params.pattern("RX_SELLER").search(head), params.pattern("RX_BUYER").search(head)
    if sells is not None and (buys is None or sells.start() < buys.start()):
        return "divestiture"
    return "acquirer" if buys is not None or owned is not None else None


def _own_short(filing: EightK, head: str, params: LabelParams) -> str | None:
    for core in _own_names(filing, params.tables):
        name = re.search(r"[\s.,'’&-]+".join(re.escape(word) for word in core), head, re.I)
        short = _SHORT.search(head, name.end(), name.end() + params["short_characters"]) if name else None
        if short:
            return short[1]
    return None
