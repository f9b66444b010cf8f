"""The kinds of problem this API answers with, in one table: what clients may branch on and the documentation lists.

A kind is named in the code that raises it; a test finds every one of them there, and here.
"""

from __future__ import annotations

# Kind -> (statuses, when). The type of a problem document is `urn:signaldelta:problem:KIND`.
KINDS: dict[str, tuple[tuple[int, ...], str]] = {
    "bad-request": ((400,), "What came is no HTTP request, or its path or query is not plain UTF-8 text."),
    "unauthenticated": ((401,), "No valid credential; which of the many reasons is in the audit log alone."),
    "forbidden": ((403,), "A scope, tier, feature or administrator is needed; or access is open to one machine alone."),
    "key-limit": ((403,), "The tier has no more keys to give."),
    "key-scopes": ((403,), "A key is asked for more than the one that asks may do."),
    "watchlist-limit": ((403,), "The tier has no more places on its watchlist."),
    "no-jobs": ((403,), "The tier has no jobs."),
    "no-user": ((403,), "The user is not there any more."),
    "not-found": ((404,), "Nothing is there under that name, or nothing of the caller's own, or no such path."),
    "method-not-allowed": ((405,), "The path has other methods; `Allow` names them."),
    "not-acceptable": ((406,), "None of the forms that `Accept` or `format` asks for is one of this route's."),
    "request-timeout": ((408,), "The request did not arrive in time."),
    "no-latency-model": ((409,), "No latency model is stored, so nothing says what was available when."),
    "open-access": ((409,), "Where access is open there are no users, and so no keys."),
    "key-not-valid": ((409,), "The key has ended, so it cannot be rotated; a new one is made instead."),
    "key-overlap": ((409,), "The key was rotated already and both still work: one of them is to be revoked first."),
    "not-a-job": ((409,), "What failed was no job, so there is none to file again; the dead letter names the command."),
    "idempotency-key-reused": ((409,), "The key was used before, with other input."),
    "content-too-large": ((413,), "The body has too many bytes, levels or members."),
    "uri-too-long": ((414,), "Path and query together are too long."),
    "unsupported-media-type": ((415,), "A body is not `application/json`."),
    "range-not-satisfiable": ((416,), "All ranges asked for begin beyond the end; `Content-Range` tells its length."),
    "invalid-request": (
        (422,),
        "A parameter or member of the body is not as expected, or there is none of its name; `errors` names each.",
    ),
    "rate-limited": ((429,), "Too many requests of the user, key or address; `Retry-After` says until when."),
    "queue-full": ((429,), "As many of one's jobs wait as the tier may have waiting."),
    "day-limit": ((429,), "As many jobs in 24 hours as the tier has."),
    "header-fields-too-large": ((431,), "The head of the request is too large."),
    "internal": ((500,), "Nobody expected this; the log has it under the request's id."),
    "stored-data": ((500,), "What is stored is not what its hash or contract says; it is not sent."),
    "database-unavailable": ((503,), "The database cannot be reached now."),
    "identity-provider-unavailable": ((503,), "The identity provider's keys cannot be had, so no token can be judged."),
    "not-built": ((503,), "A read model is not there: an operator has to build it."),
    "too-many-streams": ((503,), "As many streams as may be are open."),
}


def kinds_of(status: int) -> list[str]:
    """Return the kinds that come with `status`, in the order of the table."""
    return [kind for kind, (statuses, _) in KINDS.items() if status in statuses]
