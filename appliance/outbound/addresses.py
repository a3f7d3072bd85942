"""Which addresses may be connected to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# RFC 6052: the last 32 bits are an IPv4 address, which a translator connects to.
_NAT64 = IPv6Network("64:ff9b::/96")
# Where clouds hand out credentials, beside the link-local one.
_METADATA = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})


def refusal(host: str, *, allow_private: bool) -> str | None:
    """Say why nothing may be sent to the IP address `host`; None: it may.

    Never to link-local addresses, where clouds hand out their machines' credentials, nor to those
    that are nobody's. Loopback and private ones are where receivers of a small office are.
    """
    address = _meant(ip_address(host.partition("%")[0]))
    if address.is_loopback:
        return None if allow_private else f"{address} is this machine"
    if (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
        or address in _METADATA
    ):
        return f"{address} is no address of a receiver"
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    if not allow_private and (is_site_local or not address.is_global):
        return f"{address} is private"
    return None


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the address that packets to this one end at."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
