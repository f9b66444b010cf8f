"""How figures are written, case by case."""

from __future__ import annotations

import pytest

from signaldelta_assets.reports.wording import (
    THIN,
    count,
    counted,
    difference,
    figure,
    fixed,
    hours,
    listed,
    moment,
    p_value,
    percent,
    span,
)


@pytest.mark.parametrize(
    ("kind", "value", "lo", "hi", "expected"),
    [
        ("share", 0.307, 0.24, 0.39, "31 % [24, 39]"),
        ("share", 0.3074, 0.28, 0.33, "30.7 % [28.0, 33.0]"),
        ("share", 0.01234, 0.0111, 0.0135, "1.23 % [1.11, 1.35]"),
        ("share", 0.0, 0.0, 0.98, "0 % [0, 98]"),
        ("number", 0.7149, 0.66, 0.77, "0.71 [0.66, 0.77]"),
        ("number", -0.1346, -0.181, -0.0887, "−0.135 [−0.181, −0.089]"),
        ("number", -0.001, -0.2, 0.2, "0.00 [−0.20, 0.20]"),
        ("hours", 96.4, 72.0, 130.2, "96 h [72, 130]"),
        ("hours", 9.64, 7.0, 10.2, "9.6 h [7.0, 10.2]"),
        ("number", 0.5, 0.5, 0.5, "0.50 [0.50, 0.50]"),
    ],
)
def test_digits_follow_the_interval(kind: str, value: float, lo: float, hi: float, expected: str) -> None:
    interval = {"lo": lo, "hi": hi}
    assert figure(kind, value, interval).replace(THIN, " ") == expected
    assert span(kind, value, interval) == expected[expected.index("[") :]


def test_differences_have_signs_and_shares_points() -> None:
    assert difference("share", 0.2, {"lo": 0.13, "hi": 0.27}).replace(THIN, " ") == "+20 points [+13, +27]"
    assert difference("share", -0.02, {"lo": -0.09, "hi": 0.08}).replace(THIN, " ") == "−2 points [−9, +8]"
    assert difference("number", 0.0412, {"lo": 0.013, "hi": 0.066}) == "+0.041 [+0.013, +0.066]"
    assert fixed(0.0, 2, sign=True) == "0.00" and fixed(-0.0001, 2, sign=True) == "0.00"


def test_plain_words() -> None:
    assert count(1234567).replace(THIN, " ") == "1 234 567"
    assert [counted(n, noun) for n, noun in ((1, "alert"), (0, "alert"), (2, "entity"), (1, "entity"))] == [
        "1 alert", "0 alerts", "2 entities", "1 entity"]  # fmt: skip
    assert [hours(value).replace(THIN, " ") for value in (1, 24, 48, 60, 504, 2.5)] == [
        "1 h", "24 h", "48 h (2 d)", "60 h (2.5 d)", "504 h (21 d)", "2.5 h"]  # fmt: skip
    assert percent(0.95).replace(THIN, " ") == "95 %" and percent(0.995).replace(THIN, " ") == "99.5 %"
    assert percent(1.0 - 0.95).replace(THIN, " ") == "5 %"
    assert (p_value(0.0049751), p_value(0.0005), p_value(1.0)) == ("0.005", "below 0.001", "1.000")
    assert (listed(["a"]), listed(["a", "b", "c"]), listed([])) == ("a", "a, b and c", "")
    assert moment("2024-07-01T02:30:00+02:00") == "2024-07-01 00:30"
