"""The Dagster skin: assets, checks, jobs, schedules, resources. Thin: read, call a pure room, write.

Every module offers its definitions through a `@dg.definitions` function, so that importing one builds nothing,
reads no settings and hashes no sources.
"""
