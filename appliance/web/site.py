"""The web application: all routes, and what stands before every handler."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web
from cryptography import x509

from appliance.config import Config
from appliance.services import Services
from appliance.web import (
    api,
    board,
    configurator,
    enroll,
    health,
    mdm,
    nanomdm,
    openapi,
    over_the_air,
    scep,
)
from appliance.web.admission import ADMISSION, Admission
from appliance.web.assets import static_routes
from appliance.web.authentication import GATE, Gate
from appliance.web.board.failures import failure_middleware
from appliance.web.board.shell import DEMO
from appliance.web.bodies import BODIES, Bodies, bodies_middleware, expectation
from appliance.web.errors import plain_middleware, problem_middleware
from appliance.web.keys import CONFIG, SERVICES

# What no browser may do with an answer of the application.
_SAFETY = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin"}


def application(
    config: Config,
    services: Services,
    *,
    root: x509.Certificate,
    admin: bool,
    devices: bool,
    demo: bool = False,
) -> web.Application:
    """Return the application with the device endpoints, the administrator's, or both.

    Args:
        demo: the board says on every page that its devices are simulated.
    """
    app = web.Application(
        middlewares=[
            bodies_middleware,
            plain_middleware,
            *([problem_middleware] if admin else []),
            failure_middleware,
        ],
        client_max_size=config.limits.result_body_kib * 1024,
    )
    app[CONFIG] = config
    app[SERVICES] = services
    app[GATE] = Gate(config)
    app[DEMO] = demo
    app[ADMISSION] = Admission(config.limits.device_requests)
    app[BODIES] = Bodies(config.limits.bodies_mib << 20)
    app[enroll.ROOT] = root
    app[scep.LIMIT] = scep.ScepLimit(config.limits)
    app[enroll.DOWNLOADS] = scep.ScepLimit(config.limits)
    app[over_the_air.LIMIT] = scep.ScepLimit(config.limits)
    app.on_shutdown.append(_end_streams)
    app.on_response_prepare.append(_make_safe)
    for route in _routes(config, admin=admin, devices=devices):
        kwargs = {**route.kwargs, "expect_handler": expectation}
        app.add_routes([web.RouteDef(route.method, route.path, route.handler, kwargs)])
    return app


def _routes(config: Config, *, admin: bool, devices: bool) -> Iterator[web.RouteDef]:
    yield from health.routes(config)
    yield from static_routes()
    if devices:
        yield from mdm.routes(config)
        yield from scep.routes()
        yield from enroll.routes(config)
        yield from over_the_air.routes()
        yield from configurator.routes()
    if admin:
        yield from board.routes(config)
        yield from api.routes(config)
        yield from openapi.routes(config)
        if config.api.compat_nanomdm:
            yield from nanomdm.routes(config)
    else:
        yield web.get("/", enroll.home)


async def _make_safe(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _SAFETY.items():
        response.headers.setdefault(name, value)
    # aiohttp names itself and Python there, with their releases.
    response.headers.popall("Server", None)


async def _end_streams(app: web.Application) -> None:
    app[SERVICES].live.close()
