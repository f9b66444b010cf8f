"""Text classification by a language model, under the guardrail: an answer is an artifact before anything reads it.

What is asked (prompt, model, parameters, text) has a hash; the first answer to it is stored whole under that hash, in
a table the database keeps frozen, and everybody reads that one ever after. So a repeat costs nothing and changes
nothing. Off unless a protocol is set; no signal, label, snapshot or score reads from here, and the import rules say so.
"""

from .classify import Classified, Classifier, classify
from .clients import LlmError, open_classifier
from .request import Answer, Request, Task, output_document
from .tasks import MATERIAL_AGREEMENT, TASKS

__all__ = [
    "MATERIAL_AGREEMENT",
    "TASKS",
    "Answer",
    "Classified",
    "Classifier",
    "LlmError",
    "Request",
    "Task",
    "classify",
    "open_classifier",
    "output_document",
]
