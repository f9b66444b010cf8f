"""Whom a release names: the parties of its caption, the persons among them, and registrants by their dated names.

A registrant is found where its full name stands as a whole party: between the separators of a caption, or in running
text up to the end of the name. Part of a longer name, one word, another legal form, a name of two issuers or
one that EDGAR marks as shared (`/DE/`), and a name that the issuer did not carry on that day or whose first day is not
known are no match, and say why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ..contracts import Security

Core = tuple[str, ...]

# Why a name that was found is no match, in the order in which one reason is told of several.
REASONS = (
    "ambiguous_name",
    "name_not_held_then",
    "name_without_date",
    "other_legal_form",
    "one_word_name",
    "relief_defendant",
)

_ALIAS = re.compile(
    r"\b[AFND]/?K/?A\b\.?|\bD\.?/?B\.?/?A\b\.?|\b(?:FORMERLY|NOW|ALSO) KNOWN AS\b|\bDOING BUSINESS AS\b"
)
_TOKEN = re.compile(r"[A-Z0-9]+|[,;:()/]")
# What EDGAR appends to tell registrants of one name apart: a state, or NEW.
_MARK = re.compile(r"\s*/[A-Z]{2,4}/?\s*$")
_SEPARATORS = frozenset(",;:()/")
# Words that end a party, and those that may stand before one.
_AFTER = frozenset({"AND", "ET", "DEFENDANT", "DEFENDANTS", "RELIEF", "NOMINAL", "INDIVIDUALLY", "AS", "A", "AN"})
_BEFORE = frozenset({"AND", "DEFENDANT", "DEFENDANTS", "V", "VS"})
_GENERATIONS = frozenset({"JR", "SR", "II", "III", "IV", "ESQ", "CPA", "DR"})


@dataclass(frozen=True, slots=True)
class DatedName:
    """A name of an entity: the legal forms it ends in, its half-open days, and whether EDGAR marks it as shared."""

    entity_id: str
    forms: frozenset[str]
    valid_from: date | None
    valid_to: date | None
    shared: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of registrants: entities matched, in order of their ids, and why other names are no match."""

    entities: tuple[str, ...]
    refused: frozenset[str]


def tokens(text: str) -> list[str]:
    """Return the words of `text` in capitals, without apostrophes and full stops, and its separators."""
    plain = text.upper().replace("'", "").replace("\u2019", "").replace("&AMP;", "&")
    plain = re.sub(r"\.(?=\S)", "", _ALIAS.sub(" ; ", plain)) if "." in plain else _ALIAS.sub(" ; ", plain)
    return _TOKEN.findall(plain.replace("&", " AND "))


class Names:
    """The registrants of a context by their names."""

    def __init__(self, securities: Iterable[Security], tables: Mapping[str, Any], name_words: int) -> None:
        self._forms: Mapping[str, str] = tables["legal_forms"]
        self._organisations = frozenset(tables["organisation_words"])
        self._words = name_words
        self._known: dict[Core, list[DatedName]] = {}
        for security in securities:
            dated = security.names or ((security.name, None, None),)
            for name, first, last in dated:
                plain = _MARK.sub("", name.upper())
                core, forms = self._core(tokens(plain))
                if core:
                    known = DatedName(security.entity_id, forms, first, last, plain != name.upper())
                    self._known.setdefault(core, []).append(known)
        self._longest = max((len(core) for core in self._known), default=0)

    def _core(self, words: list[str]) -> tuple[Core, frozenset[str]]:
        words = [word for word in words if word not in _SEPARATORS]
        forms: set[str] = set()
        while words and (words[-1] in self._forms or (forms and words[-1] == "AND")):
            forms.add(self._forms.get(words.pop(), ""))
        return tuple(words[1:] if words[:1] == ["THE"] else words), frozenset(forms - {""})

    def in_caption(self, caption: str, day: date) -> Found:
        """Return the registrants that are parties of `caption`, by the names they carried on `day`."""
        words = tokens(caption)
        entities: set[str] = set()
        refused: set[str] = set()
        at = 0
        while at < len(words):
            found = self._party(words, at) if _begins(words, at) else None
            if found is None:
                at += 1
                continue
            core, forms, after = found
            if _is_relief(words, at, after):
                refused.add("relief_defendant")
            else:
                self._judge(core, forms, False, day, entities, refused)
            at = after
        return Found(tuple(sorted(entities)), frozenset(refused))

    def at_start(self, text: str, day: date) -> Found:
        """Return the registrant whose full name `text` begins with, in running text: its legal form included.

        A text that has named a company goes on to call it by a shorter name, which may be that of another.
        """
        # The name goes on as long as words are capitalised; what follows it in small letters ends it.
        end = re.search(
            r"[^\w\s.,&'\u2019-]|(?<![A-Z0-9])\s+(?!(?:and|of|the|&)\s+[A-Z0-9])[a-z]|\.\s+[A-Z]\w+\s", text
        )
        words = tokens(text[: end.start()] if end else text)
        entities: set[str] = set()
        refused: set[str] = set()
        found = self._party(words, 1 if words[:1] == ["THE"] else 0)
        if found is not None:
            self._judge(found[0], found[1], True, day, entities, refused)
        return Found(tuple(sorted(entities)), frozenset(refused))

    def _party(self, words: list[str], at: int) -> tuple[Core, frozenset[str], int] | None:
        """Return (core, legal forms, place after) of the longest known name that is the whole party at `at`."""
        if words[at : at + 1] == ["THE"]:
            at += 1
        for length in range(min(self._longest, len(words) - at), 0, -1):
            core = tuple(words[at : at + length])
            if core not in self._known:
                continue
            after = at + length
            forms = set()
            while after < len(words):
                step = 1 + (words[after] in (",", "AND"))
                form = words[after + step - 1 : after + step]
                if not form or form[0] not in self._forms:
                    break
                forms.add(self._forms[form[0]])
                after += step
            if after == len(words) or words[after] in _SEPARATORS or words[after] in _AFTER:
                return core, frozenset(forms), after
        return None

    def _judge(
        self, core: Core, forms: frozenset[str], exact: bool, day: date, entities: set[str], refused: set[str]
    ) -> None:
        if len(core) < self._words:
            refused.add("one_word_name")
            return
        # A caption may leave the form away. Another form is another company: Morgan Stanley & Co. is not its parent.
        alike = [name for name in self._known[core] if name.forms == forms or not (forms or exact)]
        if not alike:
            refused.add("other_legal_form")
            return
        dated = [name for name in alike if name.valid_from is not None]
        held = [
            name
            for name in dated
            if name.valid_from is not None and name.valid_from <= day and (name.valid_to is None or day < name.valid_to)
        ]
        if len({name.entity_id for name in held}) == 1 and not any(name.shared for name in held):
            entities.add(held[0].entity_id)
        elif held:
            refused.add("ambiguous_name")
        else:
            refused.add("name_not_held_then" if dated else "name_without_date")

    def persons(self, caption: str) -> list[str]:
        """Return the parties of `caption` that read as persons, in capitals: two to four words, no organisation's."""
        parties: list[list[str]] = [[]]
        for word in tokens(caption):
            if word in _SEPARATORS or word in ("AND", "ET", "V", "VS"):
                parties.append([])
            else:
                parties[-1].append(word)
        found = []
        for party in parties:
            words = [word for word in party if word not in _GENERATIONS]
            own = not any(word in self._forms or word in self._organisations or not word.isalpha() for word in party)
            if own and 2 <= len(words) <= 4 and len(words[-1]) > 1:
                found.append(" ".join(words))
        return list(dict.fromkeys(found))


def _begins(words: list[str], at: int) -> bool:
    before = words[at - 1] if at else ","
    if before == "THE":
        before = words[at - 2] if at > 1 else ","
    return before in _SEPARATORS or before in _BEFORE


def _is_relief(words: list[str], at: int, after: int) -> bool:
    """Return True where the party stands in the part of the caption that ends in "relief defendants"."""
    # Up to the next "defendant(s)": that word's kind is the kind of the parties before it.
    for place in range(after, len(words)):
        if words[place] in ("DEFENDANT", "DEFENDANTS"):
            if words[place - 1] not in ("RELIEF", "NOMINAL"):
                return False
            # Without a word for the defendants proper, only the party beside it is told to be one.
            own = words[after:place]
            proper = any(word in ("DEFENDANT", "DEFENDANTS") for word in words[:at])
            return proper or not any(
                word == "AND" or word not in {",", "(", "RELIEF", "NOMINAL", "AS", "A"} for word in own
            )
    return False
