"""The calibration study (`make study`): many simulated archives, and how often the evaluation's intervals are right.

`worlds` makes an archive from a seed, `study` scores and evaluates many of them, `table` says what came out.
"""
