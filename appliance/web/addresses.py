"""Where a request comes from, as an address that can be compared with networks."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TypeAlias

from aiohttp import web

from appliance.web.keys import CONFIG

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def remote_address(request: web.Request) -> Address | None:
    """Return the sender's address, None where there is none (a Unix socket).

    Behind one of `server.trusted_proxies` it is the one that the proxy names last in
    X-Forwarded-For; None if that is no address. Nobody else is believed.
    """
    peer = peer_address(request)
    proxies = [ip_network(network) for network in request.app[CONFIG].server.trusted_proxies]
    if not within(peer, proxies):
        return peer
    named = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
    for text in reversed([text.strip() for text in named if text.strip()]):
        address = parse_address(text)
        if not within(address, proxies):
            return address
    return peer


def peer_address(request: web.Request) -> Address | None:
    """Return the address at the other end of the connection, which may be a proxy's."""
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
