"""Two paired homes per module, and what undisturbed work comes to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.homes.places import Homes, two_homes, undisturbed
from tests.homes.scenarios import Course


@pytest.fixture(scope="module")
def homes() -> Iterator[Homes]:
    with two_homes(replay=False) as made:
        yield made


@pytest.fixture(scope="module")
def course() -> Iterator[Course]:
    with two_homes() as made:
        yield Course(made, undisturbed(made))
