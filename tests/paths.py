"""Where things are: the commands, the recorded inputs and the golden cases (beside the checkout, or where
SIGNALDELTA_SHARED says)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# The commands of this environment.
BIN = Path(sys.executable).parent
SHARED = Path(os.environ.get("SIGNALDELTA_SHARED", ROOT.parent / "shared"))
DATA = SHARED / "data"
GOLDEN = SHARED / "golden"

needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"the recorded inputs are not there: {DATA.name}/ beside the checkout"
)
needs_golden = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason=f"the golden cases are not there: {GOLDEN.name}/ beside the checkout"
)
