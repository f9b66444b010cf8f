"""The GraphQL documents that are sent to Dagster."""

from __future__ import annotations

_ERROR = """... on Error { message }
... on PythonError { className }
... on RunConfigValidationInvalid { errors { message } }"""
_PYTHON = "error { message className causes { message className } }"
_METADATA = """metadataEntries {
  label
  ... on TextMetadataEntry { text }
  ... on IntMetadataEntry { intValue }
  ... on JsonMetadataEntry { jsonString }
}"""
_RUN = "runId status creationTime tags { key value }"

LAUNCH = f"""mutation Launch($params: ExecutionParams!) {{
  launchRun(executionParams: $params) {{
    __typename ... on LaunchRunSuccess {{ run {{ runId }} }} {_ERROR}
  }}
}}"""

LAUNCH_BACKFILL = f"""mutation LaunchBackfill($params: LaunchBackfillParams!) {{
  launchPartitionBackfill(backfillParams: $params) {{
    __typename ... on LaunchBackfillSuccess {{ backfillId }} {_ERROR}
  }}
}}"""

RUN_AGAIN = f"""mutation RunAgain($params: ReexecutionParams!) {{
  launchRunReexecution(reexecutionParams: $params) {{
    __typename ... on LaunchRunSuccess {{ run {{ runId }} }} {_ERROR}
  }}
}}"""

READY = """query Ready($repository: RepositorySelector!, $assets: [AssetKeyInput!]!) {
  repositoryOrError(repositorySelector: $repository) { __typename ... on Error { message } }
  assetNodes(assetKeys: $assets) {
    assetKey { path }
    isPartitioned
    first: partitionKeyConnection(limit: 1, ascending: true) { results }
    last: partitionKeyConnection(limit: 1, ascending: false) { results }
  }
}"""

ADD_PARTITION = """mutation AddPartition($key: String!, $definition: String!, $repository: RepositorySelector!) {
  addDynamicPartition(partitionKey: $key, partitionsDefName: $definition, repositorySelector: $repository) {
    __typename ... on Error { message } ... on PythonError { className }
  }
}"""

END = """mutation End($run: String!) {
  terminateRun(runId: $run) { __typename ... on Error { message } }
}"""

END_BACKFILL = """mutation EndBackfill($id: String!) {
  cancelPartitionBackfill(backfillId: $id) { __typename ... on Error { message } }
}"""

_BACKFILL = """id status timestamp tags { key value } error { message }
assetBackfillData { assetBackfillStatuses {
  __typename
  ... on AssetPartitionsStatusCounts { numPartitionsTargeted numPartitionsMaterialized numPartitionsFailed }
} }"""

BACKFILL = f"""query Backfill($id: String!) {{
  partitionBackfillOrError(backfillId: $id) {{
    __typename ... on Error {{ message }} ... on PartitionBackfill {{ {_BACKFILL} }}
  }}
}}"""

BACKFILLS = f"""query Backfills($filters: BulkActionsFilter) {{
  partitionBackfillsOrError(filters: $filters, limit: 200) {{
    __typename ... on Error {{ message }} ... on PartitionBackfills {{ results {{ {_BACKFILL} }} }}
  }}
}}"""

EVENTS = f"""query Events($run: ID!, $after: String, $limit: Int) {{
  logsForRun(runId: $run, afterCursor: $after, limit: $limit) {{
    __typename
    ... on Error {{ message }}
    ... on EventConnection {{
      cursor hasMore
      events {{
        __typename
        ... on LogMessageEvent {{ message }}
        ... on MaterializationEvent {{ {_METADATA} }}
        ... on ExecutionStepOutputEvent {{ {_METADATA} }}
        ... on ExecutionStepFailureEvent {{ {_PYTHON} }}
        ... on RunFailureEvent {{ message {_PYTHON} }}
      }}
    }}
  }}
}}"""

FAILED = """query Failed($since: Float!, $cursor: String, $limit: Int!) {
  runsOrError(filter: { statuses: [FAILURE], updatedAfter: $since }, cursor: $cursor, limit: $limit) {
    __typename
    ... on Error { message }
    ... on Runs { results { runId jobName endTime rootRunId runConfigYaml tags { key value } assetSelection { path } } }
  }
}"""


def runs_of(jobs: int) -> str:
    """Return the query for the runs of so many jobs: filters $f0, $f1, ..., answers r0, r1, ..."""
    declared = ", ".join(f"$f{number}: RunsFilter!" for number in range(jobs))
    asked = "\n  ".join(
        f"r{number}: runsOrError(filter: $f{number}, limit: 50) {{"
        f" __typename ... on Error {{ message }} ... on Runs {{ results {{ {_RUN} }} }} }}"
        for number in range(jobs)
    )
    return f"query RunsOf({declared}) {{\n  {asked}\n}}"
