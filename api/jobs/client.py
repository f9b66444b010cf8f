"""Dagster over GraphQL: launch a run or a backfill, ask what became of it, end it. Every call is bounded in time.

Speaks to the webserver alone, so that the API needs neither Dagster's packages nor its database. Which fields there are
is the schema of the installed `dagster-graphql`; a test validates every document of here against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import httpx

from signaldelta_assets.errors import SignalDeltaError
from signaldelta_assets.jobs import JOB_TAG, LOCATION, PARTITION_TAG, REPOSITORY

from . import documents

# Launching makes a plan of the run first, which takes seconds on a busy machine.
_TIMEOUT = httpx.Timeout(30.0, connect=3.0)
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_RUNNING = ("STARTED", "SUSPENDED", "CANCELING")
_STEPS = re.compile(r"(\d+)/(\d+) ?(.*)", re.DOTALL)
_PAGE, _RUNS = 500, 200
# What was asked is wrong: asked again it would be wrong again.
_REFUSALS = ("RunConfigValidationInvalid", "PartitionKeysNotFoundError", "InvalidSubsetError", "InvalidStepError")


# What is wrong is not what was asked: nothing can be launched now.
_ELSEWHERE = (
    "PipelineNotFoundError", "RepositoryNotFoundError", "DagsterUserCodeUnreachableError", "OperationalError",
    "DagsterUserCodeProcessError", "DagsterCodeLocationNotFoundError", "DagsterCodeLocationLoadError",
    "DagsterRepositoryNotFoundError",
)  # fmt: skip
_PLACE = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}


class DagsterError(SignalDeltaError):
    """Dagster could not do what was asked, and may later. `elsewhere`: whatever had been asked."""

    def __init__(self, words: str, *, elsewhere: bool = False) -> None:
        super().__init__(words)
        self.elsewhere = elsewhere


class UnreachableError(DagsterError):
    """The webserver does not answer. `sent`: what was asked may have been done all the same."""

    def __init__(self, words: str, *, sent: bool) -> None:
        super().__init__(words, elsewhere=True)
        self.sent = sent


class RefusedLaunchError(SignalDeltaError):
    """Dagster will not launch this, now or later: the input is wrong."""


@dataclass(frozen=True, slots=True)
class RunLaunch:
    """A run: of a job, or of assets (then `job` is Dagster's job of chosen assets), with its config and tags."""

    job: str
    tags: Mapping[str, str]
    config: Mapping[str, Any] = field(default_factory=dict)
    assets: Sequence[Sequence[str]] = ()
    # A key of a dynamic partition that has to be there first: (definition, key).
    partition: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class BackfillLaunch:
    """A backfill: for each asset its partitions from the first to the last key, both included."""

    assets: Sequence[Sequence[str]]
    first: str
    last: str
    tags: Mapping[str, str]
    title: str


@dataclass(frozen=True, slots=True)
class Found:
    """A run or backfill as Dagster has it."""

    id: str
    state: Literal["waiting", "running", "complete", "failed", "canceled"]
    tags: Mapping[str, str]
    created: float = 0.0
    progress: Mapping[str, Any] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What a backfill names and Dagster does not have."""

    field: Literal["assets", "first", "last"]
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed. `classes`: of the error and its causes, outermost first; empty where no step raised one."""

    words: str
    classes: tuple[str, ...]


def shown_address(url: str) -> str:
    """Return an address as it may be shown: without the user and password that it may hold."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class DagsterClient:
    """Calls to one webserver. Safe in several threads; close it. `url`: its address, to be shown."""

    def __init__(self, url: str, timeout: httpx.Timeout = _TIMEOUT) -> None:
        self.url = shown_address(url)
        self._http = httpx.Client(base_url=url, timeout=timeout)

    def close(self) -> None:
        """Close the connections: a call under way ends with an error."""
        self._http.close()

    def _ask(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = self._http.post("/graphql", json={"query": document, "variables": dict(variables)})
            body = answer.json()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            words = f"Dagster's webserver does not answer at {self.url} ({type(error).__name__})"
            raise UnreachableError(words, sent=False) from error
        except (httpx.HTTPError, ValueError, RuntimeError) as error:
            # ValueError: no JSON, of something in between. RuntimeError: the client was closed, for the server is to
            # stop.
            words = f"Dagster's webserver at {self.url} gave no answer ({type(error).__name__})"
            raise UnreachableError(words, sent=True) from error
        if not isinstance(body, dict) or body.get("errors") or "data" not in body:
            # What a resolver raised: its status is 500 then, and `errors` say what.
            raise DagsterError(f"Dagster's webserver: {_said(body)}")
        data: dict[str, Any] = body["data"]
        return data

    def launch(self, wanted: RunLaunch) -> str:
        """Launch a run; return its id. Raises `RefusedLaunchError`, `UnreachableError`, `DagsterError`."""
        if wanted.partition is not None:
            self._require(wanted.assets)
            self._add_partition(*wanted.partition)
        else:
            key = wanted.tags.get(PARTITION_TAG)
            self._require(wanted.assets, None if key is None else (key, key))
        selector: dict[str, Any] = {**_PLACE, "jobName": wanted.job}
        if wanted.assets:
            selector["assetSelection"] = [{"path": list(path)} for path in wanted.assets]
        params = {
            "selector": selector,
            "runConfigData": dict(wanted.config),
            "mode": "default",
            "executionMetadata": {"tags": _tags(wanted.tags)},
        }
        made = self._ask(documents.LAUNCH, {"params": params})["launchRun"]
        if made["__typename"] != "LaunchRunSuccess":
            raise _error(made)
        return str(made["run"]["runId"])

    def require_code(self) -> None:
        """Raise `DagsterError` where Dagster has no code to launch, `UnreachableError` where it does not answer."""
        self._require(())

    def _require(self, assets: Sequence[Sequence[str]], keys: tuple[str, str] | None = None) -> None:
        """Raise `DagsterError` where no code is loaded, `RefusedLaunchError` for assets or partitions there are not."""
        nodes = self._nodes(assets)
        missing = ["/".join(path) for path in assets if tuple(path) not in nodes]
        if missing:
            raise RefusedLaunchError(f"there is no asset {', '.join(missing)}")
        if keys is None:
            return
        for path, ends in nodes.items():
            # Keys are ISO dates, which sort as they follow each other.
            if ends is None or keys[0] < ends[0] or keys[1] > ends[1]:
                asked = " to ".join(dict.fromkeys(keys))
                words = f"partitions: expected some of {_range(ends)}, found {asked}"
                raise RefusedLaunchError(f"{'/'.join(path)}: {words}")

    def _nodes(self, assets: Sequence[Sequence[str]]) -> dict[tuple[str, ...], tuple[str, str] | None]:
        """Return those of the assets that there are, with the first and last key of their partitions, if any."""
        wanted = [{"path": list(path)} for path in assets]
        found = self._ask(documents.READY, {"repository": _PLACE, "assets": wanted})
        if found["repositoryOrError"]["__typename"] != "Repository":
            raise DagsterError(f"Dagster has no code loaded: {_error(found['repositoryOrError'])}", elsewhere=True)
        nodes: dict[tuple[str, ...], tuple[str, str] | None] = {}
        for node in found["assetNodes"]:
            keys = [*node["first"]["results"], *node["last"]["results"]] if node["isPartitioned"] else []
            nodes[tuple(node["assetKey"]["path"])] = (keys[0], keys[-1]) if keys else None
        return nodes

    def faults(self, assets: Sequence[Sequence[str]], first: str, last: str) -> list[Fault]:
        """Return what a backfill names that Dagster does not have. Raises `DagsterError` where that cannot be said."""
        nodes, found = self._nodes(assets), []
        for path in assets:
            name = "/".join(path)
            if tuple(path) not in nodes:
                found.append(Fault("assets", "the key of an asset", name))
            elif (ends := nodes[tuple(path)]) is None:
                found.append(Fault("assets", "an asset with partitions", name))
            else:
                expected = f"a partition of {name}, {_range(ends)}"
                found += [Fault("first", expected, first)] if not ends[0] <= first <= ends[1] else []
                found += [Fault("last", expected, last)] if not ends[0] <= last <= ends[1] else []
        return found

    def _add_partition(self, definition: str, key: str) -> None:
        variables = {"key": key, "definition": definition, "repository": _PLACE}
        made = self._ask(documents.ADD_PARTITION, variables)["addDynamicPartition"]
        if made["__typename"] not in ("AddDynamicPartitionSuccess", "DuplicateDynamicPartitionError"):
            raise _error(made)

    def launch_backfill(self, wanted: BackfillLaunch) -> str:
        """Launch a backfill; return its id. Raises as `launch` does."""
        self._require(wanted.assets, (wanted.first, wanted.last))
        whole = {"start": wanted.first, "end": wanted.last}
        params = {
            "partitionsByAssets": [
                {"assetKey": {"path": list(path)}, "partitions": {"range": whole}} for path in wanted.assets
            ],
            "tags": _tags(wanted.tags),
            "title": wanted.title,
        }
        made = self._ask(documents.LAUNCH_BACKFILL, {"params": params})["launchPartitionBackfill"]
        if made["__typename"] != "LaunchBackfillSuccess":
            raise _error(made)
        return str(made["backfillId"])

    def run_again(self, run: str) -> str:
        """Launch a run of Dagster's own once more, all of it; return the new run's id."""
        params = {"parentRunId": run, "strategy": "ALL_STEPS"}
        made = self._ask(documents.RUN_AGAIN, {"params": params})["launchRunReexecution"]
        if made["__typename"] != "LaunchRunSuccess":
            raise _error(made)
        return str(made["run"]["runId"])

    def runs_of(self, job_ids: Sequence[str]) -> dict[str, list[Found]]:
        """Return the runs that carry each job's tag, oldest first: one request, whatever the number of jobs."""
        if not job_ids:
            return {}
        filters = {f"f{number}": {"tags": _tags({JOB_TAG: job})} for number, job in enumerate(job_ids)}
        data = self._ask(documents.runs_of(len(job_ids)), filters)
        found = {}
        for number, job in enumerate(job_ids):
            made = data[f"r{number}"]
            if made["__typename"] != "Runs":
                raise _error(made)
            found[job] = sorted(map(_run, made["results"]), key=lambda run: run.created)
        return found

    def backfill(self, backfill_id: str) -> Found | None:
        """Return a backfill, with the partitions done of all as its progress; None where Dagster has none of it."""
        made = self._ask(documents.BACKFILL, {"id": backfill_id})["partitionBackfillOrError"]
        if made["__typename"] == "BackfillNotFoundError":
            return None
        if made["__typename"] != "PartitionBackfill":
            raise _error(made)
        return _backfill(made)

    def backfills_since(self, since: float) -> list[Found]:
        """Return the backfills created after a moment (seconds since 1970), oldest first."""
        made = self._ask(documents.BACKFILLS, {"filters": {"createdAfter": since}})["partitionBackfillsOrError"]
        if made["__typename"] != "PartitionBackfills":
            raise _error(made)
        return sorted(map(_backfill, made["results"]), key=lambda one: one.created)

    def end(self, run: str) -> None:
        """Ask for the end of a run; one that is over is left alone."""
        made = self._ask(documents.END, {"run": run})["terminateRun"]
        if made["__typename"] in ("UnauthorizedError", "PythonError"):
            raise _error(made)

    def end_backfill(self, backfill_id: str) -> None:
        """Ask for the end of a backfill and of its runs."""
        made = self._ask(documents.END_BACKFILL, {"id": backfill_id})["cancelPartitionBackfill"]
        if made["__typename"] != "CancelBackfillSuccess":
            raise _error(made)

    def steps(self, run: str, cursor: str | None) -> tuple[dict[str, Any] | None, str | None]:
        """Return (how far a run is, as it last told after `cursor`: {done, total, words}, the cursor after that)."""
        last = None
        while True:
            events, cursor, more = self._events(run, cursor)
            for event in events:
                told = _STEPS.fullmatch(event["message"]) if event["__typename"] == "LogMessageEvent" else None
                if told is not None:
                    last = {"done": int(told[1]), "total": int(told[2]), "words": told[3][:500]}
            if not more:
                return last, cursor

    def outcome(self, run: str) -> dict[str, Any]:
        """Return what a run's materializations and outputs say of themselves, by label; the later one counts."""
        found: dict[str, Any] = {}
        cursor, more = None, True
        while more:
            events, cursor, more = self._events(run, cursor)
            for event in events:
                for entry in event.get("metadataEntries", ()):
                    value = next((entry[name] for name in ("text", "intValue", "jsonString") if name in entry), None)
                    if value is not None:
                        found[entry["label"]] = value
        return found

    def failure(self, run: str) -> Failure:
        """Return why a run failed: the error of the step that raised one, or what ended it from outside."""
        words: str | None = None
        classes: tuple[str, ...] = ()
        outside = "it ended without saying why"
        cursor, more = None, True
        while more:
            events, cursor, more = self._events(run, cursor)
            for event in events:
                if event["__typename"] == "ExecutionStepFailureEvent" and event["error"] and words is None:
                    chain = [event["error"], *event["error"]["causes"]]
                    classes = tuple(str(error["className"]) for error in chain)
                    words = _innermost(chain)
                elif event["__typename"] == "RunFailureEvent":
                    outside = (event["error"] or {}).get("message") or event["message"] or outside
        return Failure(words or outside.strip()[:2000], classes)

    def _events(self, run: str, cursor: str | None) -> tuple[list[dict[str, Any]], str | None, bool]:
        variables = {"run": run, "after": cursor, "limit": _PAGE}
        made = self._ask(documents.EVENTS, variables)["logsForRun"]
        if made["__typename"] != "EventConnection":
            raise _error(made)
        return made["events"], made["cursor"], made["hasMore"]

    def failed_runs(self, since: float) -> Iterator[dict[str, Any]]:
        """Yield the runs that failed, whoever asked for them, and that were touched after a moment; newest first."""
        cursor: str | None = None
        while True:
            asked = {"since": since, "cursor": cursor, "limit": _RUNS}
            made = self._ask(documents.FAILED, asked)["runsOrError"]
            if made["__typename"] != "Runs":
                raise _error(made)
            for run in made["results"]:
                yield {**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}}
            if len(made["results"]) < _RUNS:
                return
            cursor = made["results"][-1]["runId"]


def _said(body: Any) -> str:
    errors = body.get("errors") if isinstance(body, dict) else None
    said = [str(one.get("message")) for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    return "; ".join(said)[:2000] or str(body)[:500]


def _range(ends: tuple[str, str] | None) -> str:
    return "none" if ends is None else f"{ends[0]} to {ends[1]}"


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def _error(made: Mapping[str, Any]) -> SignalDeltaError:
    kind = made["__typename"]
    said = made.get("message") or "; ".join(one["message"] for one in made.get("errors", ()))
    words = f"{kind}: {str(said).strip()[:2000]}"
    if kind in _REFUSALS:
        return RefusedLaunchError(words)
    return DagsterError(words, elsewhere=kind in _ELSEWHERE or made.get("className") in _ELSEWHERE)


def _innermost(chain: Sequence[Mapping[str, Any]]) -> str:
    """The error itself: what Dagster wraps around it says only which step it was."""
    own = [error for error in chain if not str(error["className"]).startswith("DagsterExecution")]
    return str((own or chain)[0]["message"]).strip()[:2000]


def _run(row: Mapping[str, Any]) -> Found:
    status = row["status"]
    state: Any = {"SUCCESS": "complete", "FAILURE": "failed", "CANCELED": "canceled"}.get(status)
    state = state or ("running" if status in _RUNNING else "waiting")
    return Found(row["runId"], state, {tag["key"]: tag["value"] for tag in row["tags"]}, row["creationTime"])


def _backfill(row: Mapping[str, Any]) -> Found:
    states: dict[str, Any] = {
        "COMPLETED_SUCCESS": "complete",
        "COMPLETED": "complete",
        "COMPLETED_FAILED": "failed",
        "FAILED": "failed",
        "CANCELED": "canceled",
    }
    done = failed = total = 0
    for one in (row.get("assetBackfillData") or {}).get("assetBackfillStatuses", ()):
        if one["__typename"] == "AssetPartitionsStatusCounts":
            done += one["numPartitionsMaterialized"]
            failed += one["numPartitionsFailed"]
            total += one["numPartitionsTargeted"]
    words = f"{done} of {total} partitions are there" + (f", {failed} failed" if failed else "")
    error = row.get("error")
    reason = error["message"].strip()[:2000] if error else f"{failed} of {total} partitions failed" if failed else None
    return Found(
        row["id"],
        states.get(row["status"], "running"),
        {tag["key"]: tag["value"] for tag in row["tags"]},
        row["timestamp"],
        {"done": done, "total": total, "words": words} if total else None,
        reason,
    )
