"""Documents as an upstream must never send them, through every parser and through whole runs.

`seeds` are good documents (simulated, and recorded ones in place), `mutations` spoil them anyhow, `corpus` on purpose;
`readers` take them through a parser and check what comes out.
"""
