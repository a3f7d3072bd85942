"""Static files: a known few, read once, at addresses that carry a hash of their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from aiohttp import web

from appliance import resources

# Only these are ever served; no request reaches the file system.
_CONTENT_TYPES: Mapping[str, str] = {
    "app.css": "text/css",
    "board.css": "text/css",
    "board.js": "text/javascript",
    "device.css": "text/css",
    "device.js": "text/javascript",
    "enroll.js": "text/javascript",
    "enrollment.css": "text/css",
    "enrollment.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "icons.svg": "image/svg+xml",
    "live.js": "text/javascript",
    "progress.js": "text/javascript",
    "sign_in.js": "text/javascript",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One static file in memory."""

    name: str
    content: bytes
    digest: str

    @property
    def url(self) -> str:
        """The address of exactly this content, cacheable for ever."""
        return f"/static/{self.digest}/{self.name}"


@cache
def assets() -> Mapping[str, Asset]:
    """Return every static file by name."""
    found = {}
    for name in _CONTENT_TYPES:
        content = (resources.static_dir() / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        found[name] = Asset(name=name, content=content, digest=digest)
    return found


def asset_url(name: str) -> str:
    """Return the address of the static file `name`."""
    return assets()[name].url


def static_routes() -> list[web.RouteDef]:
    """Return the route of the static files; they are read now, so a missing one stops the start."""
    assets()
    return [web.get("/static/{digest}/{name}", _serve)]


async def _serve(request: web.Request) -> web.Response:
    asset = assets().get(request.match_info["name"])
    if asset is None or asset.digest != request.match_info["digest"]:
        raise web.HTTPNotFound
    return web.Response(
        body=asset.content,
        content_type=_CONTENT_TYPES[asset.name],
        charset="utf-8",
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        },
    )
