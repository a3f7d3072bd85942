"""How often somebody may try to sign in: by address, and by name where that locks out nobody.

An address that failed too often waits, whatever names it tried. A name that is tried from many
addresses is closed to strangers only: whoever signed in to it from an address before still can.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeAlias

from appliance.errors import TooMany

Address: TypeAlias = IPv4Address | IPv6Address

_ADDRESSES_PER_NAME = 4  # so many addresses may use up their attempts on one name
_MOST_KEPT = 10_000
_LONGEST_NAME = 64  # as it is kept here: what is typed for a name may be of any length


class _Counts:
    """Failures by key, forgotten one block after the last; the oldest make room for new ones."""

    def __init__(self, limit: int, block_ms: int) -> None:
        self._limit = limit
        self._block_ms = block_ms
        self._kept: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()

    def wait_ms(self, key: Hashable, now: int) -> int:
        count, at = self._kept.get(key, (0, 0))
        return max(at + self._block_ms - now, 0) if count >= self._limit else 0

    def add(self, key: Hashable, now: int) -> None:
        count, at = self._kept.pop(key, (0, 0))
        self._kept[key] = (count + 1 if now - at < self._block_ms else 1, now)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    def take_back(self, key: Hashable) -> None:
        if key in self._kept:
            count, at = self._kept[key]
            self._kept[key] = (max(count - 1, 0), at)

    def forget(self, key: Hashable) -> None:
        self._kept.pop(key, None)


class SignInThrottle:
    """Counts failed attempts; kept in memory, as a restart is no attacker's to cause."""

    def __init__(self, *, attempts: int, block_ms: int) -> None:
        self._by_address = _Counts(attempts, block_ms)
        self._by_name = _Counts(attempts * _ADDRESSES_PER_NAME, block_ms)
        self._trusted: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, address: Address | None, name: str, now: int) -> None:
        """Count an attempt as failed, before it is known: many at once count as well.

        Raises:
            TooMany: this one must not be looked at.
        """
        where, name = place(address), name[:_LONGEST_NAME]
        wait = self._by_address.wait_ms(where, now)
        if name and (name, where) not in self._trusted:
            wait = max(wait, self._by_name.wait_ms(name, now))
        if wait:
            raise TooMany("too many attempts to sign in", -(-wait // 1000))
        self._by_address.add(where, now)
        if name:
            self._by_name.add(name, now)

    def succeeded(self, address: Address | None, name: str) -> None:
        """Take the attempt back, and trust the address with this name from now on."""
        where, name = place(address), name[:_LONGEST_NAME]
        self._by_address.forget(where)
        self._by_name.take_back(name)
        self._trusted[(name, where)] = None
        self._trusted.move_to_end((name, where))
        if len(self._trusted) > _MOST_KEPT:
            self._trusted.popitem(last=False)


def place(address: Address | None) -> str:
    """Return what one household can change at will: an IPv4 address, or an IPv6 /64."""
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)
