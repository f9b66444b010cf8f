"""What fails in a deployment of two homes, with real servers: one scenario per fault, shared by tests and the page.

`scenarios` break something and say what came of it (`Outcome`); `test_*.py` hold that against what is promised;
``python -m tests.homes.faults`` writes it down in docs/faults.md.
"""
