"""Backtests: what may be concluded from a frozen snapshot, and by which rules (backtests.md).

`evaluation`, `engine`, `explanation` and `ablation` are pure; `child` runs the engine behind the `guard`, in a process
that `sandbox` starts; `runs`, `verify`, `explain` and `ablate` are the edge, where snapshots are opened and results
are stored.
"""

from .ablate import AblationPlan, ablation_table, base_spec, count_trials, missing_runs, plan_ablation, store_plan
from .ablation import AblationError, By
from .evaluation import Evaluation, EvaluationProtocol, EvaluationProtocolError, evaluate
from .explain import explain_run
from .explanation import ExplanationError, StoredScoreError
from .guard import SandboxViolation
from .live import score_live
from .manifest import RunManifestError, check_manifest
from .runs import BacktestRun, run_backtest
from .sandbox import BacktestFailedError
from .spec import BacktestSpec, BacktestSpecError, run_environment, run_hash
from .verify import Difference, RunDiff, VerifyReport, diff_runs, verify_run

__all__ = [
    "AblationError",
    "AblationPlan",
    "BacktestFailedError",
    "BacktestRun",
    "BacktestSpec",
    "BacktestSpecError",
    "By",
    "Difference",
    "Evaluation",
    "EvaluationProtocol",
    "EvaluationProtocolError",
    "ExplanationError",
    "RunDiff",
    "RunManifestError",
    "SandboxViolation",
    "StoredScoreError",
    "VerifyReport",
    "ablation_table",
    "base_spec",
    "check_manifest",
    "count_trials",
    "diff_runs",
    "evaluate",
    "explain_run",
    "missing_runs",
    "plan_ablation",
    "run_backtest",
    "run_environment",
    "run_hash",
    "score_live",
    "store_plan",
    "verify_run",
]
