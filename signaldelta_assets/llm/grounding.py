"""Which numbers of a text do not occur in the facts it is about. Pure, and strict: in doubt a number is one.

A number occurs where the same value stands in the facts, a percentage where the same percentage does, a negative one
where it is negative there. What is put together of digits and anything else (a date, a range, S001, 8-K) occurs where
it stands there letter by letter. A number in words occurs as that word or as its value. What is rightly said in other
figures is refused too: the sentence that code makes is then shown instead, and nothing is lost.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal, InvalidOperation

# A run of letters and digits, with what joins them: 0.25, 1,200, 2025-01-31, 10b5-1, S001, 8-K, 1e-3.
_RUN = re.compile(r"\w+(?:[.,:/\-']\w+)*")
_PLAIN = re.compile(r"\d+(?:\.\d+)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_PERCENT = re.compile(r"\s*(?:%|percent\b|per cent\b|pct\b)", re.IGNORECASE)
_UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: Decimal(value) for value, word in enumerate(_UNITS.split())}
_WORDS |= {word: Decimal(10 * value) for value, word in enumerate(_TENS.split(), 2)}
_WORDS |= {"half": Decimal("0.5"), "quarter": Decimal("0.25"), "dozen": Decimal(12), "hundred": Decimal(100),
           "thousand": Decimal(1000), "million": Decimal(10**6), "billion": Decimal(10**9), "twice": Decimal(2),
           "double": Decimal(2), "triple": Decimal(3), "thrice": Decimal(3)}  # fmt: skip
_FORMS = {"doubled": "double", "doubles": "double", "tripled": "triple", "triples": "triple", "halved": "half",
          "halves": "half", "third": "three", "thirds": "three", "quarters": "quarter", "fourth": "four",
          "fifth": "five", "tenth": "ten"}  # fmt: skip
_FORMS |= {f"{word}s": word for word in ("dozen", "hundred", "thousand", "million", "billion")}


def ungrounded(text: str, facts: str) -> list[str]:
    """Return the numbers of `text` that do not occur in `facts`, as they stand there, in order."""
    allowed = set(_numbers(facts)) | {("word", word) for word in _spoken(facts)}
    found = []
    for shown, keys in _shown(text):
        if not any(key in allowed for key in keys):
            found.append(shown)
    return found


def _shown(text: str) -> list[tuple[str, list[tuple[str, object]]]]:
    """Return each number of a text as it stands there, with the keys of which one has to be allowed."""
    flat = _flat(text)
    found: list[tuple[str, list[tuple[str, object]]]] = []
    for match in _RUN.finditer(flat):
        run = match.group()
        if any(character.isnumeric() for character in run):
            found.append((run, [_key(flat, match)]))
            continue
        for word in re.split(r"[^a-z]+", run.lower()):
            if _value(word) is not None:
                found.append((word, [("word", word), ("number", _value(word))]))
    return found


def _numbers(text: str) -> list[tuple[str, object]]:
    flat = _flat(text)
    keys = [
        _key(flat, match) for match in _RUN.finditer(flat) if any(character.isnumeric() for character in match.group())
    ]
    # Without its sign: "falls by 0.4" says what -0.4 does.
    return keys + [(kind, -value) for kind, value in keys if isinstance(value, Decimal) and value < 0]


def _key(text: str, match: re.Match[str]) -> tuple[str, object]:
    run = match.group()
    if not (run.isascii() and _PLAIN.fullmatch(run)):
        return "run", run
    try:
        value = Decimal(run.replace(",", ""))
    except InvalidOperation:
        return "run", run
    before = text[: match.start()]
    if before.endswith("-") and not before[:-1].endswith(tuple("-0123456789")) and not before[-2:-1].isalpha():
        value = -value
    return ("percent" if _PERCENT.match(text, match.end()) else "number"), value


def _spoken(text: str) -> set[str]:
    return {word for word in re.split(r"[^a-z]+", _flat(text).lower()) if _value(word) is not None}


def _value(word: str) -> Decimal | None:
    return _WORDS.get(_FORMS.get(word, word))


def _flat(text: str) -> str:
    """Return the text with one form for each sign: wide, raised and small digits as digits, every minus as one."""
    return re.sub("[\u2010-\u2015\u2212]", "-", unicodedata.normalize("NFKC", text)).replace("\u2044", "/")
