"""Requests to others than Apple, at addresses that an administrator configured; bounded in all."""

from __future__ import annotations

from appliance.outbound.addresses import refusal
from appliance.outbound.poster import Answered, Outcome, Poster, Unreachable

__all__ = ["Answered", "Outcome", "Poster", "Unreachable", "refusal"]
