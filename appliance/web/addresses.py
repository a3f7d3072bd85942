"""Where a request comes from, as an address that can be compared with networks."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

from aiohttp import web

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def remote_address(request: web.Request) -> Address | None:
    """Return the sender's address, None where there is none (a Unix socket)."""
    return parse_address(request.remote)


def parse_address(text: str | None) -> Address | None:
    """Return the address without its zone; an IPv4 address in IPv6's form is an IPv4 address."""
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Tell whether `address` is known and in one of `networks`."""
    return address is not None and any(address in network for network in networks)
