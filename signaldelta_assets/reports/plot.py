"""Pictures as inline SVG: a plane with axes, and the marks that are drawn on it.

Pure text out of numbers. Every coordinate is rounded to two decimals and made by single IEEE operations, so the same
data give the same bytes on every machine. Colours are classes, resolved by the page's variables in light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Point = tuple[float, float]
Label = Callable[[float], str]

_STEPS = (1.0, 2.0, 5.0)


def coordinate(value: float) -> str:
    """Return a coordinate with at most two decimals. Raises ValueError for one that is not finite."""
    if not math.isfinite(value):
        raise ValueError(f"coordinate: expected a finite number, found {value!r}")
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values (1, 2, 5 times a power of ten) from `low` to `high`, at most `most` of them."""
    if not low < high:
        return [low]
    for power in range(-9, 10):
        for step in _STEPS:
            size = step * 10**power if power >= 0 else step / 10**-power
            first, last = math.ceil(low / size - 1e-9), math.floor(high / size + 1e-9)
            if last - first + 1 <= most:
                # From whole numbers: sums of steps would drift.
                return [round(place * size, 9) for place in range(first, last + 1)]
    raise ValueError(f"ticks: expected a range below 1e9, found {low} to {high}")


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from data [low, high] to pixels [begin, end]."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.begin + share * (self.end - self.begin)


class Plane:
    """A drawing of a fixed size in its own units, which the page scales; text grows and shrinks with it."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        width: float = 400,
        height: float = 280,
        left: float = 62,
        right: float = 24,
        top: float = 12,
        bottom: float = 44,
    ) -> None:
        self.width, self.height = width, height
        self.x = Scale(*x, left, width - right)
        self.y = Scale(*y, height - bottom, top)
        self._parts: list[str] = []

    def _put(self, tag: str, kind: str, attributes: dict[str, float | str], text: object = None) -> None:
        said = "".join(
            f' {name.replace("_", "-")}="{escape(value if isinstance(value, str) else coordinate(value))}"'
            for name, value in attributes.items()
        )
        inner = "/>" if text is None else f">{escape(text)}</{tag}>"
        self._parts.append(f'<{tag} class="{kind}"{said}{inner}')

    # --- marks, in data coordinates ---------------------------------------------------------------------------

    def line(self, points: Iterable[Point], kind: str) -> None:
        """Draw a line through points; nothing where there are fewer than two."""
        at = [f"{coordinate(self.x(x))},{coordinate(self.y(y))}" for x, y in points]
        if len(at) > 1:
            self._put("polyline", f"line {kind}", {"points": " ".join(at)})

    def step(self, points: Sequence[Point], kind: str) -> None:
        """Draw a step line: each value holds from its own x to the next one's."""
        self.line(_stepped(points), kind)

    def band(self, low: Sequence[Point], high: Sequence[Point], kind: str, *, stepped: bool = False) -> None:
        """Fill between two lines."""
        below, above = (_stepped(side) if stepped else list(side) for side in (low, high))
        at = [f"{coordinate(self.x(x))},{coordinate(self.y(y))}" for x, y in [*above, *reversed(below)]]
        if len(at) > 2:
            self._put("polygon", f"band {kind}", {"points": " ".join(at)})

    def box(self, x: tuple[float, float], y: tuple[float, float], kind: str) -> None:
        """Fill a rectangle."""
        left, right = sorted(map(self.x, x))
        top, bottom = sorted(map(self.y, y))
        self._put("rect", kind, {"x": left, "y": top, "width": right - left, "height": bottom - top})

    def segment(self, begin: Point, end: Point, kind: str) -> None:
        """Draw one straight line."""
        ends: dict[str, float | str] = {
            "x1": self.x(begin[0]),
            "y1": self.y(begin[1]),
            "x2": self.x(end[0]),
            "y2": self.y(end[1]),
        }
        self._put("line", f"line {kind}", ends)

    def dot(self, at: Point, kind: str, size: float = 3.5) -> None:
        """Draw a dot."""
        self._put("circle", f"dot {kind}", {"cx": self.x(at[0]), "cy": self.y(at[1]), "r": size})

    def diamond(self, at: Point, kind: str, size: float = 4.5) -> None:
        """Draw a diamond: beside dots, told apart by its form."""
        x, y = self.x(at[0]), self.y(at[1])
        corners = ((x, y - size), (x + size, y), (x, y + size), (x - size, y))
        points = " ".join(f"{coordinate(a)},{coordinate(b)}" for a, b in corners)
        self._put("polygon", f"dot {kind}", {"points": points})

    def write(self, at: Point, text: object, kind: str = "", *, anchor: str = "start", dx: float = 0, dy: float = 0,
              ) -> None:  # fmt: skip
        """Write text at a point, moved by pixels."""
        place: dict[str, float | str] = {"x": self.x(at[0]) + dx, "y": self.y(at[1]) + dy}
        self._put("text", kind, place | {"text_anchor": anchor}, text)

    # --- axes -------------------------------------------------------------------------------------------------

    def x_axis(self, at: Iterable[float], label: Label, title: str = "", *, grid: bool = False) -> None:
        """Draw the horizontal axis with a tick at each value."""
        base = self.y.begin
        self._put("line", "axis", {"x1": self.x.begin, "y1": base, "x2": self.x.end, "y2": base})
        for value in at:
            place = self.x(value)
            if grid:
                self._put("line", "grid", {"x1": place, "y1": self.y.end, "x2": place, "y2": base})
            self._put("line", "axis", {"x1": place, "y1": base, "x2": place, "y2": base + 4})
            self._put("text", "tick", {"x": place, "y": base + 17, "text_anchor": "middle"}, label(value))
        if title:
            middle = (self.x.begin + self.x.end) / 2
            self._put("text", "name", {"x": middle, "y": base + 36, "text_anchor": "middle"}, title)

    def y_axis(self, at: Iterable[float], label: Label, title: str = "") -> None:
        """Draw the vertical axis with a tick and a grid line at each value; its title stands on its side."""
        for value in at:
            place = self.y(value)
            self._put("line", "grid", {"x1": self.x.begin, "y1": place, "x2": self.x.end, "y2": place})
            self._put("text", "tick", {"x": self.x.begin - 6, "y": place + 4, "text_anchor": "end"}, label(value))
        if title:
            middle = coordinate((self.y.begin + self.y.end) / 2)
            turn = f"rotate(-90 12 {middle})"
            self._put("text", "name", {"x": "12", "y": middle, "text_anchor": "middle", "transform": turn}, title)

    def svg(self, name: str, title: str, description: str) -> Markup:
        """Return the picture: an image to assistive technology, with a title and what it shows in words."""
        return Markup(
            f'<svg role="img" aria-labelledby="{escape(name)}-title {escape(name)}-desc" '
            f'viewBox="0 0 {coordinate(self.width)} {coordinate(self.height)}">'
            f'<title id="{escape(name)}-title">{escape(title)}</title>'
            f'<desc id="{escape(name)}-desc">{escape(description)}</desc>{"".join(self._parts)}</svg>'
        )


def _stepped(points: Sequence[Point]) -> list[Point]:
    out: list[Point] = []
    for x, y in points:
        if out:
            out.append((x, out[-1][1]))
        out.append((x, y))
    return out
