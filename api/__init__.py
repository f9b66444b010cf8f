"""The read side over HTTP: FastAPI over the warehouse and the artifact store, read-only. Never imports `defs`.

Routers translate, `queries` holds all SQL, `pointintime` decides what could have been known at a moment.
"""

from .app import Parts, create_app

__all__ = ["Parts", "create_app"]
