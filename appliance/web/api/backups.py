"""`/api/v1/backups`: encrypted files that hold everything the server needs to be made anew."""

from __future__ import annotations

from aiohttp import web

from appliance.web.api.operation import Operation, answer, services_of
from appliance.web.api.schema import BackupAnswer, Page


async def create(request: web.Request) -> web.Response:
    """Make a backup of this moment."""
    return answer(await services_of(request).backups.create(), status=201)


async def index(request: web.Request) -> web.Response:
    """What is in `backups/`."""
    return answer(Page(items=services_of(request).backups.all()))


_PATH = "/api/v1/backups"

operations = (
    Operation(
        method="GET", path=_PATH, handler=index, scope="admin",
        summary="List the backups, newest first", answer=Page[BackupAnswer],
    ),
    Operation(
        method="POST", path=_PATH, handler=create, scope="admin",
        summary="Make a backup of this moment", answer=BackupAnswer, status=201,
    ),
)  # fmt: skip
