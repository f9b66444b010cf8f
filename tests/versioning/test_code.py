"""What of a module counts for one registration: its own class, and all that is not another's."""

from __future__ import annotations

import pytest

from signaldelta_assets.catalogue import load_definitions
from signaldelta_assets.versioning.code import source_of

HEAD = """LIMIT = 3


def shared(x):
    return x * LIMIT


"""
FIRST = """@register("A", "B")
class First:
    def go(self):
        return shared(1)


"""
SECOND = """@register("C")
class Second:
    # Says why.
    def go(self):
        return shared(2)


"""
THIRD = """@register("D")
class Third(First):
    pass
"""


def test_a_class_registered_under_other_names_does_not_count() -> None:
    whole = HEAD + FIRST + SECOND
    assert source_of(whole, "A") == source_of(whole, "B") == source_of(HEAD + FIRST, "A")
    assert source_of(whole, "C") == source_of(HEAD + SECOND, "C") != source_of(whole, "A")
    assert "Second" not in source_of(whole, "A") and "shared(1)" in source_of(whole, "A")
    for changed in (SECOND.replace("shared(2)", "shared(3)"), SECOND.replace("Says", "Tells"), SECOND + "\n\n"):
        assert source_of(HEAD + FIRST + changed, "A") == source_of(whole, "A")
        assert (source_of(HEAD + FIRST + changed, "C") == source_of(whole, "C")) == (changed == SECOND + "\n\n")


def test_what_all_share_counts_for_all() -> None:
    changed = HEAD.replace("LIMIT = 3", "LIMIT = 4")
    for name in ("A", "B", "C"):
        assert source_of(changed + FIRST + SECOND, name) != source_of(HEAD + FIRST + SECOND, name)


def test_a_class_that_is_built_on_counts_for_what_builds_on_it() -> None:
    whole = HEAD + FIRST + SECOND + THIRD
    assert "class First" in source_of(whole, "D") and "class Second" not in source_of(whole, "D")
    changed = whole.replace("shared(1)", "shared(9)")
    assert source_of(changed, "D") != source_of(whole, "D") and source_of(changed, "C") == source_of(whole, "C")


@pytest.mark.parametrize(("one", "other", "same"), [("S001", "S003", False), ("S001", "S002", True)])
def test_signals_of_one_module_have_versions_of_their_own(one: str, other: str, same: bool) -> None:
    found = load_definitions()
    assert found.document["signals"][one]["extractor"] == found.document["signals"][other]["extractor"]
    # S001 and S002 are one class; S003 is another.
    assert (found.signal(one).extractor_version == found.signal(other).extractor_version) == same
