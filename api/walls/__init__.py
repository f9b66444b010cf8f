"""What stands between the network and the routes: who may read from which page, how large, how slow, how packed.

Pure ASGI and one server protocol; nothing here knows a route or a table. Streams pass through untouched.
"""

from .bodies import BodyLimits, BodyWall
from .compression import CompressionMiddleware
from .cors import CORS_METHODS, CorsMiddleware
from .headers import SecurityHeaders
from .text import TextWall
from .unexpected import UnexpectedErrors

__all__ = [
    "CORS_METHODS",
    "BodyLimits",
    "BodyWall",
    "CompressionMiddleware",
    "CorsMiddleware",
    "SecurityHeaders",
    "TextWall",
    "UnexpectedErrors",
]
