"""How full disks are, by the numbers of a small file system of the test's own where one may be mounted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from signaldelta_assets.warehouse.disk import ThresholdError, disk_usage, server_directory, table_sizes
from signaldelta_assets.warehouse.partitions import ensure_ahead, owner
from tests.warehouse.test_partitions import END, put_scores

_SIZE = 8 * 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(tmp_path)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a file system may not be mounted here: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_levels_follow_what_is_in_use(small_disk: Path) -> None:
    for part, level in ((0.1, "ok"), (0.85, "warning"), (0.95, "critical")):
        (small_disk / "file").write_bytes(b"\0" * int(_SIZE * part))
        # A folder that is made later is judged by the disk it will be on.
        for path in (small_disk, small_disk / "not" / "there"):
            (found,) = disk_usage([path])
            assert (found.path, found.total, found.level) == (path, _SIZE, level)
            assert found.fraction == pytest.approx(part, abs=0.01) and found.used == pytest.approx(part * _SIZE, 0.02)
    (found,) = disk_usage([small_disk], warning=0.96, critical=0.99)
    assert found.level == "ok"


def test_thresholds_out_of_order_are_refused(tmp_path: Path) -> None:
    assert [one.path for one in disk_usage([tmp_path, Path("/")])] == [tmp_path, Path("/")]
    for warning, critical in ((0.9, 0.8), (0.0, 0.5), (0.5, 1.1)):
        with pytest.raises(ThresholdError, match="0 < warning <= critical <= 1"):
            disk_usage([tmp_path], warning, critical)


@pytest.mark.postgres
def test_a_partitioned_table_is_one_with_all_it_takes(fresh_postgres_url: str) -> None:
    ensure_ahead(fresh_postgres_url, END, years=1)
    with owner(fresh_postgres_url) as connection:
        before = {one.table: one for one in table_sizes(connection)}
        rows = put_scores(connection, END, END, "1 day", 2000)
        connection.execute("ANALYZE score_samples")
        after = table_sizes(connection)
        found = next(one for one in after if one.table == "score_samples")
        assert found.partitions == before["score_samples"].partitions >= 13 and found.rows == rows == 2000
        assert found.total_bytes == found.table_bytes + found.index_bytes
        assert found.table_bytes > before["score_samples"].table_bytes
        assert found.index_bytes > before["score_samples"].index_bytes
        assert after[0] == found and not any("2024" in one.table for one in after)
        local = server_directory(connection)
        assert local is None or (local / "PG_VERSION").exists()
