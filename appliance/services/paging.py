"""Paging: lists that go back in time carry the number of their last entry as cursor."""

from __future__ import annotations

from appliance.errors import InvalidRequest

_NEWEST = 2**62
_LONGEST_CURSOR = 18  # digits: fits the store's integers


def entries_before(cursor: str | None) -> int:
    """Return the number below which the next page begins; None asks for the newest entries.

    Raises:
        InvalidRequest: a cursor that is not one of ours.
    """
    if cursor is None:
        return _NEWEST
    if not cursor.isdecimal() or len(cursor) > _LONGEST_CURSOR:
        raise InvalidRequest("the cursor is not one of ours", pointer="/cursor")
    return int(cursor)
