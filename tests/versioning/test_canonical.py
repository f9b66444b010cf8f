"""Canonical JSON: the fast way writes what the reference writes, byte for byte, and refuses what it refuses."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from signaldelta_assets.versioning import canonical_json
from signaldelta_assets.versioning.canonical import _is_plain

TEXTS = st.text() | st.sampled_from(["\x00\x1f\x7f\u2028\u2029", '"\\/\b\f\n\r\t', "\U0001f600", "\ufffd\ufeff", ""])
SCALARS = st.none() | st.booleans() | TEXTS | st.integers(-(2**53) + 1, 2**53 - 1)
NUMBERS = SCALARS | st.floats(allow_nan=False, allow_infinity=False)


def nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20)


@given(nested(SCALARS))
@example({"b": 1, "a": {"z": [], "\x7f": "\x7f"}, "A": None})
def test_documents_without_floats_are_written_as_the_scheme_says(document: Any) -> None:
    assert canonical_json(document) == rfc8785.dumps(document)


@given(nested(NUMBERS))
@example({"x": 1.0, "y": 1e21, "z": -0.0})
def test_and_those_with_floats(document: Any) -> None:
    assert canonical_json(document) == rfc8785.dumps(document)


def test_keys_beyond_ascii_are_ordered_by_utf16_unit() -> None:
    # By code point U+FB33 comes before U+1F600, by UTF-16 unit after it.
    document = {"\ufb33": 1, "\U0001f600": 2}
    assert not _is_plain(document)
    assert canonical_json(document) == '{"\U0001f600":2,"\ufb33":1}'.encode()


class Text(StrEnum):
    A = "a"


class Number(IntEnum):
    A = 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, -(2**53), "\ud800", {1: 2}, b"x", object()])
def test_what_the_scheme_refuses_is_refused(value: Any) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical_json({"nested": [value]})


@pytest.mark.parametrize("value", [Text.A, Number.A])
def test_other_types_never_take_the_fast_way(value: Any) -> None:
    assert not _is_plain([value])
