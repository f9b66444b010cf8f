"""Where a request comes from, as the connection says; never what a header claims."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from starlette.types import Scope


def client_address(scope: Scope) -> str:
    """Return what requests of one address are counted under: an IPv4 address, the /64 of an IPv6 address, or "local".

    A household or a machine has a whole /64 of IPv6 to itself. "local": no network in between, as in a test. Behind a
    proxy the server is told whom to believe (`SIGNALDELTA_TRUSTED_PROXIES`); then this is the address it was told.
    """
    client = scope.get("client")
    try:
        address = ip_address(client[0].partition("%")[0]) if client else None
    except ValueError:
        address = None
    if address is None:
        return "local"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64" if not address.is_loopback else str(address)
    return str(address)


def is_loopback(host: str) -> bool:
    """Whether a host, named or by address, is this machine alone."""
    name = host.strip("[]").lower()
    if name in ("localhost", "local", ""):
        return name != ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(header: str) -> str:
    """Return the host of a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0].strip("[]")
    return header.partition(":")[0]
