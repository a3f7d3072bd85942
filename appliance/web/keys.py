"""What handlers find in their application."""

from __future__ import annotations

from aiohttp import web

from appliance.config import Config
from appliance.services import Services

SERVICES = web.AppKey("services", Services)
CONFIG = web.AppKey("config", Config)
