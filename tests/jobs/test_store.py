"""Jobs as rows: taken in once and under limits, launched in order, and of two who would change one, one does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaldelta_assets.correlation import correlated
from signaldelta_assets.versioning import new_ulid
from signaldelta_assets.warehouse import Warehouse
from signaldelta_assets.warehouse.stores import dead_letters, jobs, users
from signaldelta_assets.warehouse.stores.jobs import Limits, NewJob, RefusedJobError

pytestmark = pytest.mark.postgres


def a_user(warehouse: Warehouse, tier: str = "research") -> str:
    return users.create_user(
        warehouse, tier=tier, admin=False, email=None, name=None, subject=None, actor=users.OPERATOR
    )


def ask(warehouse: Warehouse, user: str | None, number: int = 0, key: str | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"kind": "rescore", "input": {"number": number}, "tier": "research", "priority": 0} | more
    limits = made.pop("limits", Limits())
    return jobs.submit(warehouse, NewJob(user_id=user, idempotency_key=key, **made), limits)[0]


@pytest.fixture(autouse=True)
def nothing_waits(warehouse: Warehouse) -> None:
    """Each test has the queue for itself."""
    with warehouse.state_pool("users").connection() as connection:
        connection.execute("DELETE FROM dead_letters")
        connection.execute("DELETE FROM jobs")


class TestTakingIn:
    def test_a_key_names_one_job_for_ever_and_another_input_is_refused(self, warehouse: Warehouse) -> None:
        user, other = a_user(warehouse), a_user(warehouse)
        with correlated("request-1"):
            first, new = jobs.submit(warehouse, NewJob("rescore", {"n": 1}, user, "research", 3, "mine"), Limits())
        assert new and (first["state"], first["attempts"], first["correlation_id"]) == ("queued", 0, "request-1")
        jobs.cancel(warehouse, first["job_id"])
        # What became of it changes nothing: the key is used.
        again, new = jobs.submit(warehouse, NewJob("rescore", {"n": 1}, user, "research", 3, "mine"), Limits())
        assert (again["job_id"], new, again["state"]) == (first["job_id"], False, "canceled")
        for kind, given_ in (("rescore", {"n": 2}), ("snapshot", {"n": 1})):
            with pytest.raises(RefusedJobError, match=first["job_id"]) as refusal:
                jobs.submit(warehouse, NewJob(kind, given_, user, "research", 3, "mine"), Limits())
            assert refusal.value.reason == "idempotency-key-reused"
        assert ask(warehouse, other, 1, "mine")["job_id"] != first["job_id"]
        # Where access is open nobody is a user, and a key is one all the same.
        assert ask(warehouse, None, 1, "mine")["job_id"] == ask(warehouse, None, 1, "mine")["job_id"]

    def test_without_a_key_equal_input_joins_what_is_under_way_and_no_more(self, warehouse: Warehouse) -> None:
        user = a_user(warehouse)
        first = ask(warehouse, user, 1)
        assert ask(warehouse, user, 1)["job_id"] == first["job_id"]
        assert ask(warehouse, user, 2)["job_id"] != first["job_id"]
        assert ask(warehouse, a_user(warehouse), 1)["job_id"] != first["job_id"]
        assert ask(warehouse, user, 1, "a key of its own")["job_id"] != first["job_id"]
        row = jobs.claim(warehouse, first["job_id"])
        assert row is not None and ask(warehouse, user, 1)["job_id"] == first["job_id"]
        jobs.finish(warehouse, row, "complete", result={})
        jobs.cancel(warehouse, ask(warehouse, user, 2)["job_id"])
        assert ask(warehouse, user, 2)["state"] == "queued"

    def test_limits_are_exact_however_many_ask_at_once(self, warehouse: Warehouse) -> None:
        user = a_user(warehouse)

        def one(number: int) -> str:
            try:
                return str(ask(warehouse, user, number, limits=Limits(per_day=100, queued=3))["state"])
            except RefusedJobError as error:
                return error.reason

        with ThreadPoolExecutor(4) as threads:
            found = sorted(threads.map(one, range(12)))
        assert found == ["queue-full"] * 9 + ["queued"] * 3
        with pytest.raises(RefusedJobError) as refusal:
            ask(warehouse, user, 99, limits=Limits(per_day=3))
        assert refusal.value.reason == "day-limit" and 86_000 < (refusal.value.wait_seconds or 0) <= 86_400
        with pytest.raises(RefusedJobError, match="has no jobs"):
            ask(warehouse, user, 99, limits=Limits(per_day=0, queued=0))
        # Nobody else's count: another user, another queue.
        assert ask(warehouse, a_user(warehouse), 1, limits=Limits(per_day=1, queued=1))["state"] == "queued"

    def test_who_is_taken_in_waits_for_who_is_being_taken_in(self, warehouse: Warehouse) -> None:
        """The count is taken when nobody else's job of this user is on its way into the table."""
        user = a_user(warehouse)
        with ThreadPoolExecutor(1) as thread, warehouse.write_pool("users").connection() as first:
            first.execute("SELECT pg_advisory_xact_lock(hashtextextended('signaldelta jobs of ' || %s, 0))", (user,))
            second = thread.submit(ask, warehouse, user, 2, limits=Limits(queued=1))
            with pytest.raises(TimeoutError):
                second.result(0.3)
            first.execute(
                "INSERT INTO jobs (job_id, user_id, tier, kind, input, input_hash, priority)"
                " VALUES (%s, %s, 'research', 'rescore', '{}', %s, 0)",
                (new_ulid(), user, "0" * 64),
            )
            first.commit()
            with pytest.raises(RefusedJobError, match="1 jobs wait"):
                second.result(10)

    def test_one_key_sent_at_once_from_everywhere_is_one_job(self, warehouse: Warehouse) -> None:
        user = a_user(warehouse)
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(lambda _: ask(warehouse, user, 7, "once")["job_id"], range(8)))
        assert len(set(made)) == 1


class TestOrder:
    def test_tiers_come_first_and_nobody_waits_for_ever(self, warehouse: Warehouse) -> None:
        low, high = a_user(warehouse), a_user(warehouse)
        early = ask(warehouse, low, 1, priority=0)["job_id"]
        late = ask(warehouse, high, 1, priority=4)["job_id"]
        assert [row["job_id"] for row in jobs.next_up(warehouse, 10)] == [late, early]
        with warehouse.state_pool("users").connection() as connection:
            connection.execute(
                "UPDATE jobs SET submitted_at = submitted_at - interval '51 minutes' WHERE job_id = %s", (early,)
            )
        assert [row["job_id"] for row in jobs.next_up(warehouse, 10)] == [early, late]

    def test_a_users_jobs_are_as_many_at_once_as_the_tier_has_now(self, warehouse: Warehouse) -> None:
        user, other = a_user(warehouse, "professional"), a_user(warehouse, "entry")
        mine = [ask(warehouse, user, number, priority=2)["job_id"] for number in range(4)]
        theirs = ask(warehouse, other, 1)["job_id"]
        assert [row["job_id"] for row in jobs.next_up(warehouse, 10)] == [*mine[:2], theirs]
        assert jobs.claim(warehouse, mine[0]) is not None
        assert [row["job_id"] for row in jobs.next_up(warehouse, 10)] == [mine[1], theirs]
        # Of all together no more than are to run.
        assert [row["job_id"] for row in jobs.next_up(warehouse, 2)] == [mine[1]]
        assert jobs.next_up(warehouse, 1) == [] == jobs.next_up(warehouse, 0)
        users.set_tier(warehouse, user, "analyst", users.OPERATOR)
        assert [row["job_id"] for row in jobs.next_up(warehouse, 10)] == [*mine[1:], theirs]
        users.disable_user(warehouse, user, users.OPERATOR)
        assert [row["job_id"] for row in jobs.next_up(warehouse, 10)] == [theirs]

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=12),
        st.integers(1, 4),
    )
    def test_whatever_waits_is_launched_once_and_never_more_than_may(
        self, warehouse: Warehouse, asked: list[tuple[int, int]], at_once: int
    ) -> None:
        owners = [a_user(warehouse, "entry"), a_user(warehouse, "professional"), None]
        allowed = {owners[0]: 1, owners[1]: 2, None: at_once}
        made = {
            ask(warehouse, owners[owner], number, priority=priority)["job_id"]
            for number, (owner, priority) in enumerate(asked)
        }
        launched: list[str] = []
        while waiting := jobs.next_up(warehouse, at_once):
            for row in waiting:
                assert jobs.claim(warehouse, row["job_id"]) is not None
                launched.append(row["job_id"])
            running = [row for row in jobs.under_way(warehouse) if row["job_id"] in made]
            assert len(running) <= at_once
            for owner in owners:
                assert sum(row["user_id"] == owner for row in running) <= allowed[owner]
            jobs.finish(warehouse, running[0], "complete", result={})
        left = [row for row in jobs.under_way(warehouse) if row["job_id"] in made]
        for row in left:
            jobs.finish(warehouse, row, "complete", result={})
        assert len(launched) == len(set(launched))
        # What was left waiting behind its own owner's limit is launched once there is room.
        for row in jobs.page(warehouse, 100, state="queued"):
            jobs.cancel(warehouse, row["job_id"])
        assert made >= set(launched)


class TestAttempts:
    def test_of_two_who_claim_one_job_one_gets_it(self, warehouse: Warehouse) -> None:
        job = ask(warehouse, None, 1)["job_id"]
        with ThreadPoolExecutor(4) as threads:
            claimed = [row for row in threads.map(lambda _: jobs.claim(warehouse, job), range(8)) if row]
        assert len(claimed) == 1 and claimed[0]["attempts"] == 1

    def test_a_dispatcher_that_was_overtaken_changes_nothing(self, warehouse: Warehouse) -> None:
        """Who still holds an earlier attempt, or a job that has ended, writes into the void."""
        job = ask(warehouse, None, 1)["job_id"]
        old = jobs.claim(warehouse, job)
        assert old is not None
        assert jobs.put_back(warehouse, old, "its worker was lost", wait_seconds=0, counts=True) is not None
        new = jobs.claim(warehouse, job)
        assert new is not None and new["attempts"] == 2 and new["reason"] is None
        assert jobs.attach(warehouse, old, run="run of the first attempt") is None
        assert jobs.finish(warehouse, old, "failed", reason="late") is None
        assert jobs.note_progress(warehouse, old, running=True, progress={"done": 9, "total": 9, "words": ""}) is None
        done = jobs.finish(warehouse, new, "complete", result={"n": 1})
        assert done is not None and done["state"] == "complete"
        assert jobs.finish(warehouse, new, "failed", reason="again") is None
        assert jobs.cancel(warehouse, job) == jobs.get(warehouse, job) == done

    def test_a_job_that_is_put_back_waits_for_its_time(self, warehouse: Warehouse) -> None:
        job = ask(warehouse, None, 1)["job_id"]
        row = jobs.claim(warehouse, job)
        assert row is not None
        back = jobs.put_back(warehouse, row, "why", wait_seconds=60, counts=False)
        assert back is not None and (back["state"], back["attempts"], back["reason"]) == ("queued", 0, "why")
        assert jobs.next_up(warehouse, 4) == []

    def test_cancel_ends_what_waits_and_asks_the_rest(self, warehouse: Warehouse) -> None:
        waiting, running = ask(warehouse, None, 1)["job_id"], ask(warehouse, None, 2)["job_id"]
        assert jobs.claim(warehouse, running) is not None
        ended, asked = jobs.cancel(warehouse, waiting), jobs.cancel(warehouse, running)
        assert ended is not None and (ended["state"], ended["finished_at"] is None) == ("canceled", False)
        assert asked is not None and (asked["state"], asked["finished_at"]) == ("launched", None)
        assert asked["cancel_requested_at"] is not None and jobs.claim(warehouse, waiting) is None
        assert jobs.cancel(warehouse, new_ulid()) is None

    def test_a_job_whose_end_was_asked_for_is_not_put_back_but_over(self, warehouse: Warehouse) -> None:
        """It would wait for ever, for nobody claims it, in a place that others wait for."""
        user = a_user(warehouse, "entry")
        first, second = ask(warehouse, user, 1)["job_id"], ask(warehouse, user, 2)["job_id"]
        row = jobs.claim(warehouse, first)
        assert row is not None
        # After the row was read: what is done by it must see this all the same.
        jobs.cancel(warehouse, first)
        back = jobs.put_back(warehouse, row, "its launch did not reach Dagster", wait_seconds=0, counts=False)
        assert back is not None and (back["state"], back["finished_at"] is None) == ("canceled", False)
        assert back["reason"] == "ended as was asked: its launch did not reach Dagster"
        assert (back["attempts"], back["not_before"], back["launched_at"]) == (0, None, None)
        assert [found["job_id"] for found in jobs.next_up(warehouse, 1)] == [second]

    def test_whoever_waits_is_told_why(self, warehouse: Warehouse) -> None:
        job = ask(warehouse, None, 1)["job_id"]
        assert (jobs.tell_waiting(warehouse, "nobody answers"), jobs.tell_waiting(warehouse, "nobody answers")) == (
            1,
            0,
        )
        assert (jobs.get(warehouse, job) or {})["reason"] == "nobody answers"
        assert jobs.tell_waiting(warehouse, None) == 1


def test_a_letter_is_kept_once_for_each_job_and_run(warehouse: Warehouse) -> None:
    letter = dead_letters.Letter("rescore", {"a": 1}, "why", 3, "signaldelta jobs retry {letter}", job_id=new_ulid())
    first = dead_letters.bury(warehouse, letter)
    assert first is not None and dead_letters.bury(warehouse, letter) is None
    row = dead_letters.get(warehouse, letter.job_id or "")
    assert row is not None and row["retry_command"] == f"signaldelta jobs retry {first}"
    assert [one["dead_letter_id"] for one in dead_letters.page(warehouse, 10, waiting=True)] == [first]
    dead_letters.retried(warehouse, first, "the next")
    assert dead_letters.page(warehouse, 10, waiting=True) == []
    assert dead_letters.page(warehouse, 10, owner="somebody") == []
