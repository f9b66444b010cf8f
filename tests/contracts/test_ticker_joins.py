"""No join on a ticker without a date: the places that touch tickers are listed here, each with its reason."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.paths import ROOT

# What may read the undated tickers of a universe or of EDGAR's list of today.
UNDATED = {
    "signaldelta_assets/collectors/universe.py": "makes the universe; its list of today prefers rows that bring a CIK",
    "signaldelta_assets/collectors/runner.py": "stores the universe's tickers, undated and by that source",
    "signaldelta_assets/collectors/edgar/parsers/submissions.py": "reads EDGAR's list of today",
    "signaldelta_assets/collectors/edgar/submissions.py": "stores EDGAR's and the universe's tickers, undated",
    "signaldelta_assets/collectors/polygon/identity.py": "the one way from a vendor's ticker to an entity, by day",
    "signaldelta_assets/collectors/polygon/tickers.py": "the order of a universe's tickers names the primary class",
    "signaldelta_assets/contracts/context.py": "the book of dated tickers",
    "signaldelta_assets/contracts/listings.py": "the book of dated tickers",
}
# What may ask the identifiers of the database for tickers.
IDENTIFIERS = {
    "signaldelta_assets/warehouse/stores/reference.py": "the security master itself, to a dated book",
    "signaldelta_assets/warehouse/tables/__init__.py": "the table",
    "signaldelta_assets/warehouse/tables/reference.py": "the table",
    "api/queries/platform.py": "who had a ticker, on a day where one is asked for",
}
FOLDERS = ("signaldelta_assets/collectors", "signaldelta_assets/extractors", "signaldelta_assets/labels",
           "signaldelta_assets/defs", "signaldelta_assets/contracts", "signaldelta_assets/warehouse",
           "signaldelta_assets/snapshots", "signaldelta_assets/scoring", "signaldelta_assets/backtests",
           "api")  # fmt: skip


def _modules() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def undated_reads(tree: ast.AST) -> list[int]:
    """Lines that read `.tickers`, or make a mapping keyed by a ticker."""
    found = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr == "tickers"
            and not (isinstance(node.value, ast.Name) and node.value.id == "desk")
        ):
            found.append(node.lineno)
        if isinstance(node, ast.DictComp) and "ticker" in ast.unparse(node.key):
            found.append(node.lineno)
        if isinstance(node, ast.Call) and "ticker" in ast.unparse(node.func).rpartition(".")[2].lower():
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("merge", "join"):
            found += [node.lineno for word in node.keywords if word.arg in ("on", "left_on", "right_on")
                      and "ticker" in ast.unparse(word.value)]  # fmt: skip
    return found


def test_undated_tickers_are_read_only_where_it_says_why() -> None:
    found = {_name(path) for path in _modules() if undated_reads(ast.parse(path.read_text()))}
    assert found <= UNDATED.keys(), "map a ticker by its day: TickerDesk.entity or SecurityContext.entity_of_ticker"


def test_the_identifiers_are_asked_for_tickers_only_where_it_says_why() -> None:
    asks = re.compile(r"security_identifiers")
    found = {_name(path) for path in _modules() if asks.search(path.read_text())}
    assert found - {"api/routers/securities.py"} <= IDENTIFIERS.keys()


SQL_JOIN = re.compile(r"\b(?:ON|USING|on|using)\b\s*\(?(?:[\w.]+\s*=\s*)?(?:\w+\.)?(?:primary_)?ticker\b")


def test_sql_joins_no_table_on_a_ticker() -> None:
    texts = [*_modules(), *sorted((ROOT / "dbt_project" / "models").rglob("*.sql"))]
    found = [
        f"{_name(path)}: {line.strip()}"
        for path in texts
        for line in path.read_text().splitlines()
        if SQL_JOIN.search(line) and re.search(r"\bjoin\b|\bJOIN\b|\bUSING\b|\busing\b|=", line)
    ]
    assert found == []


def test_the_search_finds_what_it_looks_for() -> None:
    assert undated_reads(ast.parse("{t: e for e in universe for t in e.tickers}"))
    assert undated_reads(ast.parse("{row['ticker']: row for row in rows}"))
    assert undated_reads(ast.parse("frame.merge(other, on=['ticker', 'day'])"))
    assert SQL_JOIN.search("JOIN bars b ON b.ticker = s.primary_ticker") and SQL_JOIN.search("using (ticker)")
    assert not undated_reads(ast.parse("desk.entity(record, ticker, day)"))
