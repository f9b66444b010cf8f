"""Explanations that only a model offsite can give: asked by a job, once for each question of each user.

The reader has the template at once, with the job; the same question after its end has the model's answer, which is
the job's result and stays as it is. Every figure in it is held against the facts, as of any other answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from signaldelta_assets import llm
from signaldelta_assets.warehouse.stores import jobs as store

from .auth import Access, PrincipalOf
from .auth.stores import AuditLogError
from .dependencies import WarehouseOf
from .jobs import filing
from .schemas.explaining import Explanation, ExplanationJob, Fact
from .schemas.jobs import AnswerRequest

log = logging.getLogger("signaldelta.api")
# What a job may end as and be asked for again.
_ANEW = (None, "canceled")


class Deferring:
    """Settles what is shown of an explanation, for one request."""

    def __init__(self, request: Request, principal: PrincipalOf, warehouse: WarehouseOf) -> None:
        self._request, self._principal, self._warehouse = request, principal, warehouse

    def shown(self, made: llm.Explanation) -> Explanation:
        """Return an explanation as it is shown; where it has to become a job, with the job, or by its answer."""
        if made.why_template != "becomes_job":
            return _shown(made)
        wanted = filing.new_job(self._principal, "llm_answer", _input(made.facts), None)
        job = store.newest_like(self._warehouse, wanted)
        if job is not None and job["state"] == "complete":
            result = job["result"]
            answer = llm.Answered(result["text"], result["model"], result["route_id"], result["usage_id"])
            return _shown(llm.held(made.facts, answer), job)
        # What failed is not asked again by whoever comes to look: its dead letter is there to be retried.
        if (job["state"] if job is not None else None) in _ANEW:
            if "write" not in self._principal.scopes:
                return _shown(made, why_no_job="read-only")
            try:
                job, new = store.submit(self._warehouse, wanted, filing.limits_of(self._principal))
            except store.RefusedJobError as error:
                return _shown(made, why_no_job=error.reason)
            if new:
                self._filed(job)
        return _shown(made, job)

    def _filed(self, job: Mapping[str, Any]) -> None:
        """A line in the audit log, for a GET has none by itself, and the dispatcher's attention."""
        access: Access = self._request.app.state.access
        if access.audit is not None:
            try:
                access.audit.note(self._principal.user_id, "job.filed", job["job_id"], {"kind": job["kind"]})
            except AuditLogError:
                log.exception("not in the audit log: job %s", job["job_id"])
        dispatcher = self._request.app.state.dispatcher
        if dispatcher is not None:
            dispatcher.wake()


DeferringOf = Annotated[Deferring, Depends(Deferring)]


def _input(facts: llm.Facts) -> dict[str, Any]:
    """The question, as if it had been filed at `POST /platform/jobs/llm-answers`."""
    asked = llm.request_of(facts, llm.Asker())
    turns = [{"role": message.role, "text": message.text} for message in asked.messages]
    question = {"use_case": asked.use_case, "system": asked.system, "messages": turns, "max_tokens": asked.max_tokens}
    return AnswerRequest.model_validate(question).document()


def _shown(made: llm.Explanation, job: Mapping[str, Any] | None = None, why_no_job: str | None = None) -> Explanation:
    return Explanation.model_validate(
        {
            "subject": made.facts.subject,
            "text": made.text,
            "made_by": made.made_by,
            "model": made.model if made.made_by == "model" else None,
            "why_template": made.why_template,
            "job": None if job is None else ExplanationJob.of(job),
            "why_no_job": why_no_job,
            "facts": [Fact(name=fact.name, text=fact.text) for fact in made.facts.facts],
        }
    )
