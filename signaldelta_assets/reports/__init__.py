"""Reports: the documents and tables of a stored run in, one self-contained HTML file out.

Here live the verdict's rules and words, how figures are written, the drawing of pictures, the tables and the page.
Pure: no warehouse, no Dagster, no clock, no file but the package's own templates ever.
"""

from .material import Material, Trial
from .page import report_html, report_markdown, verdict_of
from .verdict import GRADES, Verdict, judge, primary_p_value

__all__ = [
    "GRADES",
    "Material",
    "Trial",
    "Verdict",
    "judge",
    "primary_p_value",
    "report_html",
    "report_markdown",
    "verdict_of",
]
