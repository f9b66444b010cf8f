"""The rules of compatibility, in words: the documentation lists them from here, and every one has a test."""

from __future__ import annotations

# Rule -> what it forbids within a version.
BREAKING: dict[str, str] = {
    "operation-removed": "A path or method that was there is gone.",
    "operation-renamed": "An operation has another operationId: generated clients name their functions by it.",
    "auth-tightened": "More is asked of the caller: a credential, a tier, a feature, an administrator.",
    "parameter-removed": "A parameter is gone: who sends it is no longer answered for it.",
    "parameter-required": "A parameter that was optional, or not there, has to be sent.",
    "body-removed": "A body, or a form of it, is no longer taken.",
    "body-required": "A body that was optional, or not there, has to be sent.",
    "field-required": "A field of a request that was optional, or not there, has to be sent.",
    "field-refused": "A field of a request is gone, or fields that are not named are no longer taken.",
    "limit-narrowed": "A request that was within limits no longer is: numbers, lengths, patterns, formats.",
    "value-refused": "A value of a request's choices, a kind of it, or null, is no longer taken.",
    "default-changed": "Who says nothing of a parameter or field gets another answer.",
    "status-removed": "A status that was documented is gone.",
    "success-added": "A success has another status than those that were documented.",
    "header-removed": "A header of an answer is gone, or no longer sure to be there.",
    "content-removed": "A form of an answer is gone.",
    "field-removed": "A field of an answer is gone.",
    "field-optional": "A field of an answer is no longer sure to be there.",
    "field-nullable": "A field of an answer may be null that never was.",
    "type-changed": "A value has another type or format, or more types than one had to expect.",
    "values-changed": "The choices of a value in an answer are others: a reader may wait for one, or not know one.",
    "limit-widened": "A value of an answer may go beyond what was said of it.",
    "problem-removed": "A type of problem, or one of its statuses, is gone.",
    "unknown-change": "Something else differs of which no rule says that it is harmless.",
}
# Rule -> what may be done at any time.
HARMLESS: dict[str, str] = {
    "operation-added": "A new path or method.",
    "auth-loosened": "Less is asked of the caller.",
    "parameter-added": "A new parameter that need not be sent.",
    "request-widened": "A request may be what it could not be, or need not hold what it had to.",
    "status-added": "A new refusal (4xx, 5xx): clients take one that they do not know for the first of its hundred.",
    "header-added": "A new header of an answer.",
    "content-added": "Another form of an answer, for who asks for it.",
    "field-added": "A new field of an answer: readers pass over what they do not know.",
    "answer-narrowed": "An answer is surer than was said: never null, always there, within less.",
    "problem-added": "A new type of problem.",
    "deprecated": "Something is marked as going away with the next version.",
}
