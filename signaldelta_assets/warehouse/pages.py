"""Pages of the documentation that the table registry makes: `python -m signaldelta_assets.warehouse.pages`."""

from __future__ import annotations

from pathlib import Path

from .replication import name_of
from .tables import GROUPS, metadata, times

_HEAD = """# Tables

Made from the table registry (`signaldelta_assets/warehouse/tables`) by `make schema`; a test compares.

Two homes hold the whole schema: `aws`, where the API and its users are, and `offsite`, where collectors, scorers and
backtests run. A group of tables is written at one of them and replicated to the other, one way, under the name
`signaldelta_<group>` (publication at the home, subscription and slot of the other). `each`: every place has its own
rows, and nothing is replicated. A deployment with one server is both homes.

No key is a sequence: two servers would give one number to different rows. `content`: made from what the row says, so
that the same row has the same name anywhere; `ulid`, `uuid`: made by the one writer; `natural`: what it is about.
`frozen`: UPDATE, DELETE and TRUNCATE are refused by a trigger, and the application's role has no right to them.
A reference never leads to a table of another home.
"""


def tables_page() -> str:
    """Return docs/tables.md."""
    lines = [
        _HEAD,
        "## Groups",
        "",
        "| group | home | reader may be behind | publication | why |",
        "|---|---|---|---|---|",
    ]
    for name, group in GROUPS.items():
        behind = "" if group.lag_seconds is None else f"{group.lag_seconds:.0f} s"
        published = "" if group.home == "each" else f"`{name_of(name)}`"
        lines.append(f"| {name} | {group.home} | {behind} | {published} | {group.why} |")
    for name, group in GROUPS.items():
        lines += ["", f"## {name} ({group.home})", "", "| table | key | identity | times | frozen | kept | why |",
                  "|---|---|---|---|---|---|---|"]  # fmt: skip
        for table in metadata.sorted_tables:
            info = table.info
            if info["group"] != name:
                continue
            key = ", ".join(str(column.name) for column in table.primary_key.columns)
            kept = "for ever" if info["keep"].days is None else f"{info['keep'].days} days by {info['keep'].clock}"
            lines.append(
                f"| `{table.name}` | {key} | {info['identity']} | {', '.join(times(table))} | "
                f"{'yes' if info['frozen'] else ''} | {kept} | {info['why']} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(__file__).resolve().parents[2] / "docs" / "tables.md").write_text(tables_page())
