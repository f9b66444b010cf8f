"""What the watch says of one server: disks, versions, refused writes; and that alerts open and close."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from signaldelta_assets.warehouse import head_revision, watch
from signaldelta_assets.warehouse.watch import Trouble
from tests.observability.jobs import put_dead_letter

pytestmark = pytest.mark.postgres


def _words(url: str, **more: Any) -> list[str]:
    return [f"{trouble.severity}: {trouble.words}" for trouble in watch.look({"one": url}, "one", **more).troubles]


def test_a_disk_beyond_its_watermark_is_told_once(fresh_postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    paths = [tmp_path, tmp_path / "archive", tmp_path / "not" / "yet"]
    assert _words(fresh_postgres_url, more=[watch.disks(paths, 1.0, 1.0)]) == []
    for warning, critical, severity in ((1e-9, 1.0, "warning"), (1e-9, 1e-9, "critical")):
        told = _words(fresh_postgres_url, more=[watch.disks(paths, warning, critical)])
        assert told and told[0].startswith(f"{severity}: the disk of {tmp_path} is ")
        assert len([words for words in told if str(tmp_path) in words]) == 1


def test_a_disk_that_fills_meanwhile_is_one_disk(
    fresh_postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = shutil.disk_usage, itertools.count(1)

    def fuller(path: Path) -> Any:
        space = real(path)
        return type(space)(space.total, space.used + next(seen), space.free)

    monkeypatch.setattr(shutil, "disk_usage", fuller)
    told = _words(fresh_postgres_url, more=[watch.disks([tmp_path, tmp_path / "archive"], 1e-9, 1.0)])
    assert len([words for words in told if str(tmp_path) in words]) == 1


def test_work_that_failed_for_good_is_told_until_it_is_tried_again(fresh_postgres_url: str) -> None:
    put_dead_letter(fresh_postgres_url, "01A", retried=True)
    assert _words(fresh_postgres_url) == []
    put_dead_letter(fresh_postgres_url, "01B")
    assert _words(fresh_postgres_url) == [
        "warning: 1 pieces of work failed for good, the last backtest at 2025-01-02 03:04:05 UTC; run `signaldelta jobs"
        " dead`"
    ]


def test_a_home_of_another_version_or_none_at_all_is_told(empty_postgres_url: str) -> None:
    assert _words(empty_postgres_url) == [
        f"critical: one: schema version: expected {head_revision()}, found empty; run `signaldelta db migrate`"
    ]
    gone = empty_postgres_url.replace("/signaldelta_test", "/none")
    assert len(_words(gone)) == 1 and "the database does not answer" in _words(gone)[0]


def test_alerts_open_once_and_close_when_it_is_over(fresh_postgres_url: str) -> None:
    first = Trouble("disk", "/a", "warning", "80 %")
    second = Trouble("replication", "signals", "critical", "behind", {"seconds": 40.0, "path": Path("/x")})
    options = "-c search_path=signaldelta"
    with psycopg.connect(fresh_postgres_url, autocommit=True, row_factory=dict_row, options=options) as connection:
        assert watch.note(connection, [first, second]) == (2, 0)
        assert watch.note(connection, [first, second]) == (0, 0)
        worse = Trouble("disk", "/a", "critical", "95 %")
        assert watch.note(connection, [worse]) == (0, 1)
        assert [(row["subject"], row["severity"], row["words"]) for row in watch.open_alerts(connection)] == [
            ("/a", "critical", "95 %")
        ]
        assert watch.note(connection, []) == (0, 1) and watch.open_alerts(connection) == []
        # The same again is another alert: each says from when to when.
        assert watch.note(connection, [first]) == (1, 0)
        row = connection.execute("SELECT count(*) AS n, count(closed_at) AS closed FROM operator_alerts").fetchone()
        assert row == {"n": 3, "closed": 2}
