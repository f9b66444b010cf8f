"""The log standard: every line has the same fields and no secret, in files that any number of processes write."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signaldelta_assets.correlation import correlated
from signaldelta_assets.observability import FIELDS, Redactor, begin_logging, configured
from signaldelta_assets.observability.logfiles import DayFileHandler, files, lines_of, prune
from signaldelta_assets.observability.logs import JsonFormatter
from signaldelta_assets.settings import Settings, secret_values
from tests.paths import ROOT

log = logging.getLogger("signaldelta_assets.test")


def record(message: str, *arguments: Any, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord(
        "signaldelta.test", logging.INFO, "here", 1, message, arguments, more.pop("exc_info", None)
    )
    made.__dict__.update(more)
    return made


def line(message: str, *arguments: Any, secrets: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    text = JsonFormatter("api", Redactor(secrets)).format(record(message, *arguments, **more))
    assert len(text.splitlines()) == 1
    found: dict[str, Any] = json.loads(text)
    assert tuple(found) == FIELDS
    return found


class TestFields:
    def test_a_line_says_when_who_and_of_what(self) -> None:
        with correlated("mine"):
            found = line(
                "read %d rows", 7, context={"rows": 7, "path": Path("/x"), "at": datetime(2024, 1, 2, tzinfo=UTC)}
            )
        assert found["message"] == "read 7 rows" and found["level"] == "info" and found["service"] == "api"
        assert found["correlation_id"] == "mine" and found["logger"] == "signaldelta.test"
        assert found["context"] == {"rows": 7, "path": "/x", "at": "2024-01-02 00:00:00+00:00"}
        assert datetime.fromisoformat(found["timestamp"]).utcoffset() == timedelta(0)
        assert line("outside")["correlation_id"] is None

    def test_the_record_says_the_id_before_the_task_does(self) -> None:
        with correlated("task"):
            assert line("x", correlation_id="request")["correlation_id"] == "request"

    def test_an_exception_is_part_of_its_line(self) -> None:
        try:
            raise ValueError("no\nsuch thing")
        except ValueError:
            found = line("failed", exc_info=sys.exc_info())
        assert found["context"]["exception"]["type"] == "ValueError"
        assert found["context"]["exception"]["message"] == "no\nsuch thing"
        assert "raise ValueError" in found["context"]["exception"]["stack"]

    def test_words_whose_figures_do_not_fit_are_told(self) -> None:
        assert "do not fit" in line("%d of %d", 1)["message"]

    @given(st.text(), st.dictionaries(st.text(), st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
    ), max_size=4))  # fmt: skip
    def test_whatever_is_said_is_one_line_of_json(self, message: str, context: dict[str, Any]) -> None:
        text = JsonFormatter("api", Redactor()).format(record("%s", message, context=context))
        # What JSON calls a line's end is the line feed alone; readers split files at it.
        assert "\n" not in text and "\r" not in text
        json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


SECRET = st.text(st.characters(categories=("Lu", "Ll", "Nd"), include_characters="-_./+="), min_size=8, max_size=40)


class TestSecrets:
    @given(SECRET, st.text(max_size=20), st.text(max_size=20))
    def test_what_was_told_to_be_secret_is_nowhere(self, secret: str, before: str, after: str) -> None:
        said = f"{before} {secret} {after}"
        try:
            raise RuntimeError(said)
        except RuntimeError:
            found = JsonFormatter("api", Redactor([secret])).format(
                record("%s", said, context={"deep": [{said: said}]}, exc_info=sys.exc_info())
            )
        assert secret not in json.dumps(json.loads(found), ensure_ascii=False)

    @pytest.mark.parametrize(
        ("said", "hidden"),
        [
            ("key sd_Ab3dE_0123456789abcdefXYZ shown", "0123456789abcdefXYZ"),
            ("Authorization: Bearer eyJhbGciOi.abc.def", "eyJhbGciOi"),
            ("postgresql://app:hunter2@db:5432/x", "hunter2"),
            ("GET /v2?apiKey=abcd1234&limit=3", "abcd1234"),
            ("https://hooks.slack.com/services/T0/B0/xyz", "T0/B0/xyz"),
        ],
    )
    def test_what_has_the_form_of_a_secret_is_hidden(self, said: str, hidden: str) -> None:
        found = line(said)["message"]
        assert hidden not in found and "***" in found
        assert len(found) > 5, "the rest is there"

    @given(
        st.lists(
            st.sampled_from(
                ["sd_Ab3_x9", "SD_", "Bearer abcdefgh1", "BASIC " + "a" * 20, "u://a:b@", "apiKey=1", "tok\u212aen=1",
                 " ", "\n", '"', "\\", "hidden\"one", "pa\u017f\u017fwd=1", "https://hooks.slack.com/x", "secret",
                 "signature=q"]
            )
            | st.text(max_size=4),
            max_size=8,
        ).map("".join),
        st.dictionaries(
            st.sampled_from(["path", "Cookie", "user_token", "rows", "credentials"]),
            st.text(max_size=8) | st.integers() | st.floats() | st.none() | st.just("hidden\"one"),
        ),
    )  # fmt: skip
    @example('hidden"one', {})
    @example("", {"path": 'hidden"one'})
    def test_the_quick_way_hides_what_the_longer_one_does(self, said: str, context: dict[str, Any]) -> None:
        redactor = Redactor(['hidden"one'])
        found = json.loads(JsonFormatter("api", redactor).format(record("%s", said, context=context)))
        assert found["message"] == redactor.text(said) and found["context"] == redactor.value(context)

    def test_a_name_is_enough(self) -> None:
        found = line("x", context={"api_key": "short", "Authorization": "y", "inner": {"password": "z"}, "rows": 3})
        assert found["context"] == {"api_key": "***", "Authorization": "***", "inner": {"password": "***"}, "rows": 3}

    def test_the_settings_secrets_are_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", "postgresql://app:pass-of-db@h/x")
        monkeypatch.setenv("SIGNALDELTA_POLYGON_API_KEY", "polygon-key")
        monkeypatch.setenv("SIGNALDELTA_ALERT_WEBHOOKS", '["https://example.test/hook-path"]')
        monkeypatch.setenv("SIGNALDELTA_ALERT_SLACK_URL", "https://example.test/slack-path")
        monkeypatch.setenv("SIGNALDELTA_METRICS_TOKEN", "metrics-token")
        monkeypatch.setenv("GEMINI_API_KEY", "named-by-a-row")
        settings = Settings()
        assert secret_values(settings) >= {
            "pass-of-db", "polygon-key", "https://example.test/hook-path", "https://example.test/slack-path",
            "metrics-token", "named-by-a-row",
        }  # fmt: skip
        assert not any(secret in repr(settings.alert_webhooks) for secret in secret_values(settings))


class TestFiles:
    def test_lines_go_to_the_file_of_their_day_and_are_found_by_an_id(self, tmp_path: Path) -> None:
        stream = io.StringIO()
        with configured("api", folder=tmp_path / "logs", stream=stream), correlated("id-1"):
            log.info("one", extra={"context": {"n": 1}})
            log.info("names id-2")
            log.debug("too fine")
        with configured("dagster-run", folder=tmp_path / "logs", fallback="run-1"):
            log.warning("three")
        today = datetime.now(UTC).date()
        assert [(service, day) for service, day, _ in files(tmp_path / "logs")] == [
            ("api", today), ("dagster-run", today)
        ]  # fmt: skip
        assert [found["message"] for found in lines_of(tmp_path / "logs", ["id-1"])] == ["one", "names id-2"]
        assert [found["message"] for found in lines_of(tmp_path / "logs", ["id-2"])] == ["names id-2"]
        assert [found["service"] for found in lines_of(tmp_path / "logs", ["run-1"])] == ["dagster-run"]
        assert list(lines_of(tmp_path / "logs", ["id-1"], last=today - timedelta(days=1))) == []
        assert [json.loads(text)["message"] for text in stream.getvalue().splitlines()] == ["one", "names id-2"]

    def test_a_line_that_cannot_be_written_holds_nobody_up(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Broken:
            def __str__(self) -> str:
                raise LookupError("nothing to say")

        handler = DayFileHandler(tmp_path, "api")
        handler.setFormatter(JsonFormatter("api", Redactor()))
        handler.handle(record("one %s", Broken()))
        handler.handle(record("two", context={"found": Broken()}))
        handler.handle(record("%(missing)s", {"there": 1}))
        handler.handle(record("four"))
        handler.close()
        [(_, _, path)] = files(tmp_path)
        said = [json.loads(text)["message"] for text in path.read_text().splitlines()]
        assert len(said) == 2 and said[0].startswith("%(missing)s (arguments") and said[1] == "four"
        # Where logging tells its own errors.
        assert capsys.readouterr().err.count("LookupError: nothing to say") == 2

    def test_what_one_handler_has_written_the_next_need_not(self) -> None:
        formatter, other = JsonFormatter("api", Redactor()), JsonFormatter("daemon", Redactor())
        said = record("once")
        assert formatter.format(said) is formatter.format(said)
        assert json.loads(other.format(said))["service"] == "daemon"

    def test_a_cut_line_hides_no_other(self, tmp_path: Path) -> None:
        path = tmp_path / "api-2024-01-01.jsonl"
        path.write_text('{"correlation_id": "a", "message": "wh\n{"correlation_id": "a", "message": "whole"}\n')
        assert [found["message"] for found in lines_of(tmp_path, ["a"])] == ["whole"]

    def test_processes_do_not_cut_each_others_lines(self, tmp_path: Path) -> None:
        script = (
            "import logging, sys; from pathlib import Path\n"
            "from signaldelta_assets.observability.logs import configure\n"
            "configure('api', folder=Path(sys.argv[1]))\n"
            "for n in range(400): logging.getLogger('signaldelta').info('%s %d', sys.argv[2] * 3000, n)\n"
        )
        running = [
            subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name], cwd=ROOT) for name in ("a", "b")
        ]
        assert [process.wait(60) for process in running] == [0, 0]
        [(_, _, path)] = files(tmp_path)
        said = [json.loads(text)["message"] for text in path.read_text().splitlines()]
        assert sorted(said) == sorted(f"{name * 3000} {n}" for name in "ab" for n in range(400))

    def test_old_days_go_whole_and_nothing_else_does(self, tmp_path: Path) -> None:
        for name in ("api-2024-01-01.jsonl", "api-2024-03-30.jsonl", "api.log", "notes-2024-01-01.txt"):
            (tmp_path / name).write_text("x\n")
        assert [path.name for path in prune(tmp_path, 30, date(2024, 4, 1))] == ["api-2024-01-01.jsonl"]
        assert len(list(tmp_path.iterdir())) == 3

    def test_a_deployment_without_a_home_gets_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path / "home"))
        begin_logging("api", Settings()).close()
        assert not (tmp_path / "home").exists()
        (tmp_path / "home").mkdir()
        made = begin_logging("api", Settings())
        log.info("said")
        made.close()
        assert [service for service, _, _ in files(tmp_path / "home" / "logs")] == ["api"]


class TestConfiguring:
    def test_it_is_undone(self, tmp_path: Path) -> None:
        uvicorn = logging.getLogger("uvicorn")
        before = (
            logging.root.handlers[:],
            uvicorn.handlers[:],
            uvicorn.propagate,
            logging.getLogger("signaldelta").level,
        )
        with configured("api", folder=tmp_path, stream=io.StringIO(), level="debug"):
            assert logging.getLogger("signaldelta").level == logging.DEBUG and uvicorn.propagate
        after = (
            logging.root.handlers[:],
            uvicorn.handlers[:],
            uvicorn.propagate,
            logging.getLogger("signaldelta").level,
        )
        assert before == after

    def test_servers_speak_the_standard_and_uvicorn_tells_no_request_with_its_query(self, tmp_path: Path) -> None:
        stream = io.StringIO()
        with configured("api", stream=stream):
            logging.getLogger("uvicorn.error").info("Started")
            logging.getLogger("uvicorn.access").info("GET /x?apiKey=1 200")
            logging.getLogger("dagster.daemon").info("Launched")
            logging.getLogger("httpx").info("HTTP Request: GET https://x?secret")
        assert [json.loads(text)["message"] for text in stream.getvalue().splitlines()] == ["Started", "Launched"]

    def test_it_outlives_what_dagster_configures_at_its_start(self, tmp_path: Path) -> None:
        """`dictConfig` closes every handler there is; Dagster's servers call it after ours is there."""
        with configured("dagster-daemon", folder=tmp_path):
            logging.getLogger("dagster").info("before")
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False,
                                       "loggers": {"dagster": {"handlers": [], "level": "INFO"}}})  # fmt: skip
            logging.getLogger("dagster").info("after")
        [(_, _, path)] = files(tmp_path)
        assert [json.loads(text)["message"] for text in path.read_text().splitlines()] == ["before", "after"]
