"""Reading a report strictly: elements nest, references lead somewhere, nothing comes from outside."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise

VOID = {"meta", "br", "hr", "img", "link", "input"}
REFERENCES = ("src", "href", "xlink:href", "action", "data", "poster", "srcset", "formaction", "background")


class Page(HTMLParser):
    """The page's elements and attributes. Raises AssertionError where tags do not nest."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.rows: list[list[int]] = []  # per table, the cells of each row
        self.style = ""
        self.feed(data.decode("utf-8"))
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._element(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> outside SVG closes nothing"
        self._element(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> inside {self.open}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    def _element(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}>: an attribute twice"
        found = dict(attrs)
        self.elements.append((tag, found))
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "table":
            self.rows.append([])
        elif tag == "tr":
            self.rows[-1].append(0)
        elif tag in ("td", "th"):
            self.rows[-1][-1] += 1

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of a name."""
        return [attributes for name, attributes in self.elements if name == tag]


def check_page(data: bytes) -> Page:
    """Return the page after checking what must hold of every report."""
    page = Page(data)
    assert data.startswith(b"<!DOCTYPE html>") and page.all("html")[0]["lang"] == "en"
    assert len(page.ids) == len(set(page.ids)), "an id twice"
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form", "img"), tag
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes), attributes
        for name in REFERENCES:
            if name in attributes:
                target = attributes[name] or ""
                assert target.startswith("#") and target[1:] in page.ids, f"{name}={target}"
        for name in ("aria-labelledby", "aria-describedby"):
            for target in (attributes.get(name) or "").split():
                assert target in page.ids, f"{name}={target}"
        if attributes.get("role") == "region":
            assert attributes.get("tabindex") == "0" and attributes.get("aria-label"), "scrolled by keys, and named"
    for bad in ("url(", "@import", "http:", "https:", "expression("):
        assert bad not in page.style, bad
    pictures = [picture for picture in page.all("svg") if picture.get("aria-hidden") != "true"]
    assert all(picture["role"] == "img" and picture["aria-labelledby"] for picture in pictures)
    for table in page.rows:
        assert len(set(table)) == 1, f"rows of different lengths: {table}"
    headings = [int(tag[1]) for tag, _ in page.elements if tag in ("h1", "h2", "h3", "h4")]
    assert headings.count(1) == 1 and headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings)), "a level skipped"
    return page
