"""The drawing: round ticks, fixed decimals, marks where the data are, text that cannot break out."""

from __future__ import annotations

import math
import re

import pytest

from signaldelta_assets.reports.plot import Plane, Scale, coordinate, ticks


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0.0, 1.0, 6, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 504.0, 7, [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]),
        (-0.03, 0.021, 6, [-0.03, -0.02, -0.01, 0.0, 0.01, 0.02]),
        (0.0, 0.3, 6, [0.0, 0.1, 0.2, 0.3]),
        (5.0, 5.0, 6, [5.0]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, most: int, expected: list[float]) -> None:
    assert ticks(low, high, most) == expected


def test_coordinates_have_two_decimals_and_are_finite() -> None:
    assert [coordinate(value) for value in (1.0, 1.005, -0.001, 12.346, 100.0)] == ["1", "1", "0", "12.35", "100"]
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            coordinate(bad)


def test_a_point_stands_where_its_data_say() -> None:
    plane = Plane((0.0, 10.0), (0.0, 1.0), width=120, height=60, left=10, right=10, top=5, bottom=5)
    plane.dot((5.0, 1.0), "c1")
    plane.line([(0.0, 0.0), (10.0, 1.0)], "c1")
    plane.line([(0.0, 0.0)], "c2")
    plane.step([(0.0, 1.0), (5.0, 0.5), (10.0, 0.25)], "c3")
    plane.box((2.0, 4.0), (0.0, 0.5), "bar c1")
    svg = plane.svg("x", "a title", "what it shows")
    assert 'cx="60" cy="5"' in svg and 'points="10,55 110,5"' in svg and "c2" not in svg
    assert 'points="10,5 60,5 60,30 110,30 110,42.5"' in svg
    assert '<rect class="bar c1" x="30" y="30" width="20" height="25"/>' in svg
    assert re.search(r'<title id="x-title">a title</title><desc id="x-desc">what it shows</desc>', svg)
    assert Scale(1.0, 1.0, 0.0, 10.0)(1.0) == 5.0


def test_text_and_names_are_escaped() -> None:
    plane = Plane((0.0, 1.0), (0.0, 1.0))
    plane.write((0.0, 0.0), '<script>"&', "tick")
    svg = plane.svg("x", "<b>", "</desc>")
    assert "<script" not in svg and "<b>" not in svg and svg.count("</desc>") == 1
