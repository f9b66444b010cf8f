"""Who asks, whether they may, and how often: a bearer token or an API key in, one `Principal` out. Never what for.

What a route asks of its caller is a dependency (`require_tier`, `require_feature`, `require_admin`, `public`); what is
known of users is behind protocols (`UserStore`, `RequestCounter`, `AuditLog`), so that a dictionary will do. Nothing
here knows a route, a table or the platform's data.
"""

from .access import Access, Limits
from .addresses import client_address, is_loopback
from .dependencies import (
    PrincipalOf,
    Requirement,
    public,
    require_admin,
    require_feature,
    require_tier,
    requirements_of,
)
from .keys import KeyText, hash_key, make_key, prefix_of
from .middleware import AccessMiddleware
from .principal import SCOPES, TIERS, Principal
from .scraping import admit_scraper
from .stores import Allowance, AuditLog, Counted, RequestCounter, StoredKey, User, UserStore
from .tokens import KeySource, TokenVerifier

__all__ = [
    "SCOPES",
    "TIERS",
    "Access",
    "AccessMiddleware",
    "Allowance",
    "AuditLog",
    "Counted",
    "KeySource",
    "KeyText",
    "Limits",
    "Principal",
    "PrincipalOf",
    "RequestCounter",
    "Requirement",
    "StoredKey",
    "TokenVerifier",
    "User",
    "UserStore",
    "admit_scraper",
    "client_address",
    "hash_key",
    "is_loopback",
    "make_key",
    "prefix_of",
    "public",
    "require_admin",
    "require_feature",
    "require_tier",
    "requirements_of",
]
