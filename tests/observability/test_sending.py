"""Alerts reach their receivers: each opening and closing, once, whoever sends, whatever a receiver does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from signaldelta_assets.cli import app
from signaldelta_assets.observability import Channel, send_alerts, send_unkept, sending
from signaldelta_assets.observability.messages import slack_document, webhook_document
from signaldelta_assets.warehouse import Warehouse, watch
from signaldelta_assets.warehouse.stores import alerts
from signaldelta_assets.warehouse.stores.alerts import Message
from signaldelta_assets.warehouse.watch import Trouble
from tests.observability.receiver import Receiver, receiving

DISK = Trouble("disk", "/data", "warning", "the disk of /data is 81% full", {"fraction": 0.81})
RUN = Trouble("run", "8c1f3a52", "warning", "run 8c1f3a52 (collect) failed at 10:00:00 UTC")
OPENED = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


def message(**changes: object) -> Message:
    given = {
        "alert_id": "01A", "event": "opened", "channel": "slack:x", "attempts": 1, "created_at": OPENED,
        "kind": "home_down", "subject": "aws", "severity": "critical", "words": "aws: no answer",
        "detail": {"n": 1}, "opened_at": OPENED, "closed_at": None,
    }  # fmt: skip
    return Message(**(given | changes))  # type: ignore[arg-type]


# Whatever it is, and often with what Slack has a use of its own for.
SAID = st.text(st.sampled_from("<>&!|@*`") | st.characters(), max_size=200)


class TestMessages:
    def test_the_document_of_a_webhook(self) -> None:
        assert webhook_document(message(), "offsite") == {
            "schema": "signaldelta.alert/1", "id": "01A:opened", "event": "opened", "kind": "home_down",
            "subject": "aws", "severity": "critical", "words": "aws: no answer", "detail": {"n": 1},
            "place": "offsite", "opened_at": "2025-01-02T03:04:05+00:00", "closed_at": None,
        }  # fmt: skip

    def test_the_blocks_of_slack(self) -> None:
        closed = message(event="closed", closed_at=OPENED + timedelta(seconds=90))
        assert slack_document(closed, "offsite") == {
            "text": "over: home down: aws: no answer",
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "over: home down"}},
                {"type": "section", "text": {"type": "mrkdwn", "text": ":white_check_mark: aws: no answer"}},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "`aws` at offsite, from 2025-01-02 "
                 "03:04:05 UTC to 2025-01-02 03:05:35 UTC (90 s), 01A:closed"}]},
            ],
        }  # fmt: skip

    @given(SAID, SAID, st.sampled_from(["opened", "worsened", "closed"]))
    def test_slack_takes_whatever_an_error_says(self, words: str, subject: str, event: str) -> None:
        made = slack_document(message(words=words * 40, subject=subject, event=event), "one")
        header, section, context = made["blocks"]
        assert len(header["text"]["text"]) <= 150
        texts = [section["text"]["text"], context["elements"][0]["text"], made["text"]]
        # No mention, no link that nobody wrote: the three characters come as entities.
        assert all(0 < len(text) <= 3000 and "<" not in text and ">" not in text for text in texts)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def channel(receiver: Receiver, warehouse: Warehouse) -> Channel:
    """A webhook of its own for each test, and no alerts of the others."""
    receiver.came.clear()
    receiver.answers.clear()
    receiver.slow_seconds = receiver.dripping_seconds = 0.0
    with warehouse.pulse() as connection:
        watch.note(connection, [])
        connection.execute("DELETE FROM alert_deliveries")
        connection.execute("UPDATE operator_alerts SET closed_at = closed_at - interval '2 hours'")
    return Channel("webhook", f"{receiver.url}/hook")


Note = Callable[..., None]


@pytest.fixture
def note(warehouse: Warehouse) -> Note:
    def noted(*troubles: Trouble) -> None:
        with warehouse.pulse() as connection:
            watch.note(connection, list(troubles))

    return noted


def again(warehouse: Warehouse) -> None:
    """Let what waits for its next try be due, as if the time had passed."""
    with warehouse.pulse() as connection:
        connection.execute("UPDATE alert_deliveries SET next_attempt_at = now(), claimed_until = NULL")


@pytest.mark.postgres
class TestSending:
    def test_an_opening_and_a_closing_are_sent_once_each(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note
    ) -> None:
        note(DISK, RUN)
        assert send_alerts(warehouse.pulse, [channel], "one").delivered == 2
        note(DISK, RUN)
        assert send_alerts(warehouse.pulse, [channel], "one") == sending.Sent(0, 0)
        note(RUN)
        assert send_alerts(warehouse.pulse, [channel], "one").delivered == 1
        told = [
            (document["kind"], document["event"], document["closed_at"] is None) for _, _, document, _ in receiver.came
        ]
        assert told == [("disk", "opened", True), ("run", "opened", True), ("disk", "closed", False)]
        # By this a receiver knows what came twice.
        assert receiver.ids() == [document["id"] for _, _, document, _ in receiver.came]
        assert len(set(receiver.ids())) == 3

    def test_what_was_over_before_anybody_could_send_is_told_with_its_end(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note
    ) -> None:
        note(DISK)
        note()
        assert send_alerts(warehouse.pulse, [channel], "one").delivered == 1
        assert send_alerts(warehouse.pulse, [channel], "one").delivered == 1
        assert [document["event"] for _, _, document, _ in receiver.came] == ["opened", "closed"]

    def test_a_warning_that_becomes_critical_is_news_once(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note
    ) -> None:
        worse = Trouble("disk", "/data", "critical", "95% full")
        for troubles in ((DISK,), (worse,), (worse,), (DISK,), (worse,)):
            note(*troubles)
            send_alerts(warehouse.pulse, [channel], "one")
        told = [(document["event"], document["severity"]) for _, _, document, _ in receiver.came]
        assert told == [("opened", "warning"), ("worsened", "critical")]

    def test_a_receiver_that_refuses_is_asked_again_and_told_of(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note, postgres_url: str
    ) -> None:
        note(DISK)
        receiver.answers = [500, 429, 404]
        waits = []
        for _ in range(3):
            assert send_alerts(warehouse.pulse, [channel], "one") == sending.Sent(0, 1)
            with warehouse.pulse() as connection:
                waits += [row["s"] for row in connection.execute(
                    "SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float8 AS s FROM alert_deliveries"
                )]  # fmt: skip
            # Not before its time.
            assert send_alerts(warehouse.pulse, [channel], "one") == sending.Sent(0, 0)
            again(warehouse)
        # Twice as long each time, and as long as the receiver asked for.
        assert [round(wait) for wait in waits] == [5, 10, 20]
        [words] = [
            trouble.words for trouble in watch.look({"one": postgres_url}, "one").troubles if trouble.kind == "alerts"
        ]
        assert words == f"1 messages of alerts are not taken by {channel.name}, after 3 tries: answered 404"
        assert channel.url not in words and receiver.url not in repr(channel)
        assert send_alerts(warehouse.pulse, [channel], "one").delivered == 1
        with warehouse.pulse() as connection:
            assert alerts.undelivered(connection) == {} and alerts.failing(connection) == []
        assert receiver.ids() == [document["id"] for _, _, document, _ in receiver.came] and len(receiver.came) == 1

    def test_one_that_is_away_holds_up_no_other(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note
    ) -> None:
        note(DISK, RUN)
        away = Channel("slack", "http://127.0.0.1:9/away")
        sent = send_alerts(warehouse.pulse, [away, channel], "one")
        assert sent == sending.Sent(delivered=2, failed=2) and len(receiver.came) == 2

    def test_one_that_is_slow_costs_what_is_given_and_no_more(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sending, "_TIMEOUT_SECONDS", 0.3)
        note(DISK, RUN, *(Trouble("run", f"run-{n}", "warning", "failed") for n in range(2)))
        # Another path: what it answers at last is none of the next test's.
        slow = Channel("webhook", f"{receiver.url}/slow")
        receiver.slow_seconds = 1.0
        began = time.monotonic()
        assert send_alerts(warehouse.pulse, [slow], "one") == sending.Sent(0, 4)
        assert time.monotonic() - began < 0.9, "asked once, not once for each message"

    def test_one_whose_answer_does_not_end_has_taken_it_all_the_same(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note
    ) -> None:
        """Each byte begins the wait for the next anew: nobody reads what it goes on to say."""
        note(DISK)
        receiver.dripping_seconds = 3.0
        began = time.monotonic()
        assert send_alerts(warehouse.pulse, [channel], "one") == sending.Sent(delivered=1)
        assert time.monotonic() - began < 1.5 and len(receiver.came) == 1

    def test_several_processes_send_each_message_once(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note, postgres_url: str
    ) -> None:
        note(*(Trouble("run", f"run-{n}", "warning", "failed") for n in range(30)))
        receiver.slow_seconds = 0.01
        sent: list[sending.Sent] = []

        def one() -> None:
            with Warehouse(postgres_url) as own:
                sent.append(send_alerts(own.pulse, [channel], "one"))

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(one.delivered for one in sent) == 30
        assert len(receiver.ids()) == len(set(receiver.ids())) == 30

    def test_what_a_process_died_with_the_next_one_sends_when_its_claim_is_over(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note
    ) -> None:
        note(DISK)
        with warehouse.pulse() as connection:
            assert len(alerts.claim(connection, [channel.name], most=9, seconds=0.3)) == 1
        assert send_alerts(warehouse.pulse, [channel], "one") == sending.Sent(0, 0)
        time.sleep(0.35)
        assert send_alerts(warehouse.pulse, [channel], "one") == sending.Sent(1, 0)

    def test_it_is_given_up_after_a_day(
        self, warehouse: Warehouse, channel: Channel, receiver: Receiver, note: Note
    ) -> None:
        note(DISK)
        receiver.answers = [500]
        send_alerts(warehouse.pulse, [channel], "one")
        with warehouse.pulse() as connection:
            connection.execute(
                "UPDATE alert_deliveries SET created_at = now() - interval '25 hours', next_attempt_at = now()"
            )
        receiver.answers = [500]
        assert send_alerts(warehouse.pulse, [channel], "one").failed == 1
        again(warehouse)
        assert send_alerts(warehouse.pulse, [channel], "one") == sending.Sent(0, 0)

    def test_nobody_to_send_to_is_no_work(self, warehouse: Warehouse, note: Note) -> None:
        note(DISK)
        assert send_alerts(warehouse.pulse, [], "one") == sending.Sent(0, 0)


class TestUnkept:
    def test_a_home_that_is_away_is_sent_once_and_so_is_its_return(self, receiver: Receiver, tmp_path: Path) -> None:
        receiver.came.clear()
        receiver.slow_seconds = 0.0
        channels = [Channel("webhook", f"{receiver.url}/away"), Channel("slack", f"{receiver.url}/away-slack")]
        down = Trouble("home_down", "one", "critical", "one: the database does not answer: refused")
        assert send_unkept(tmp_path, channels, "one", [down]) == sending.Sent(2, 0)
        # Whoever looks again, as from cron, and in whatever words: nothing new.
        again = Trouble("home_down", "one", "critical", "one: the database does not answer: timeout")
        assert send_unkept(tmp_path, channels, "one", [again]) == sending.Sent(0, 0)
        receiver.answers = [500]
        assert send_unkept(tmp_path, channels, "one", []) == sending.Sent(1, 1)
        assert send_unkept(tmp_path, channels, "one", []) == sending.Sent(1, 0)
        assert send_unkept(tmp_path, channels, "one", []) == sending.Sent(0, 0)
        told = [document for path, _, document, _ in receiver.came if path == "/away"]
        assert [document["event"] for document in told] == ["opened", "closed"]
        assert [document["id"].partition(":")[0] for document in told] == [told[0]["id"].partition(":")[0]] * 2
        assert receiver.url not in (tmp_path / "alerts-unkept.json").read_text()

    def test_the_command_tells_that_its_own_database_is_away(
        self, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        receiver.came.clear()
        monkeypatch.setenv("SIGNALDELTA_HOME", str(tmp_path))
        monkeypatch.setenv("SIGNALDELTA_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
        monkeypatch.setenv("SIGNALDELTA_ALERT_WEBHOOKS", f'["{receiver.url}/command"]')
        for _ in range(2):
            assert CliRunner().invoke(app, ["status"]).exit_code == 1
        assert [(document["kind"], document["subject"]) for _, _, document, _ in receiver.came] == [
            ("home_down", "one")
        ]
