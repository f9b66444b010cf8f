"""Text classification by a language model, under the guardrail: an answer is an artifact before anything reads it.

What is asked (prompt, model, parameters, text) has a hash; the first answer to it is stored whole under that hash, in
a table the database keeps frozen, and everybody reads that one ever after. So a repeat costs nothing and changes
nothing. Off unless a protocol is set; no signal, label, snapshot or score reads from here, and the import rules say so.

The model is one certain model, named by the settings: a fallback would be another question. It is asked through the
gateway, by a route made from the settings, so its calls are bounded and logged as all others.
"""

from .asking import open_classifier
from .classify import Classified, Classifier, classify
from .request import Request, Task, output_document
from .tasks import MATERIAL_AGREEMENT, TASKS

__all__ = [
    "MATERIAL_AGREEMENT",
    "TASKS",
    "Classified",
    "Classifier",
    "Request",
    "Task",
    "classify",
    "open_classifier",
    "output_document",
]
