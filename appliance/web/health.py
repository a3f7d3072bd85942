"""For monitoring: whether the server lives, whether it is ready, and its figures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from appliance import __version__, logs
from appliance.config import Config
from appliance.errors import AccessRefused
from appliance.services.status import Overview
from appliance.services.webhooks import Webhook
from appliance.web.authentication import Gate
from appliance.web.keys import SERVICES

logger = logging.getLogger(__name__)

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_DEVICE_STATES = ("authenticated", "enrolled", "checked_out", "forgotten", "blocked")


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz: the process answers."""
    return web.json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: the store answers, and no job fails; else 503 with the reasons."""
    reasons = await request.app[SERVICES].status.obstacles()
    if not reasons:
        return web.json_response({"ready": True})
    logger.warning("not ready", extra={logs.REASON: "; ".join(reasons)})
    answer = {"ready": False, "reasons": reasons}
    return web.json_response(answer, status=503, headers={"Retry-After": "2"})


async def version(request: web.Request) -> web.Response:
    """GET /version: as NanoMDM answers it."""
    return web.json_response({"version": __version__})


def metrics_text(overview: Overview, webhooks: Sequence[Webhook]) -> bytes:
    """Return the figures in Prometheus' text format."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)

    def gauge(name: str, help_text: str, value: float | None) -> None:
        if value is not None:
            Gauge(f"appliance_{name}", help_text, registry=registry).set(value)

    devices = Gauge("appliance_devices", "Devices by state.", ["state"], registry=registry)
    for state in (*_DEVICE_STATES, *overview.devices):
        devices.labels(state).set(overview.devices.get(state, 0))
    build = Gauge("appliance_build_info", "The running release.", ["version"], registry=registry)
    build.labels(overview.version).set(1)
    certificates = Gauge(
        "appliance_identity_certificates", "Device identities by state.", ["state"],
        registry=registry,
    )  # fmt: skip
    certificates.labels("valid").set(overview.ca.valid)
    certificates.labels("revoked").set(overview.ca.revoked)
    gauge("ready", "Whether devices can be served.", float(overview.ready))
    gauge("problems", "What an administrator should look at.", len(overview.problems))
    gauge("queue_depth", "Commands that no device has finished.", overview.queue_depth)
    gauge("database_bytes", "Size of the database.", overview.database_bytes)
    gauge("backup_failed", "Whether the latest backup failed.", float(overview.backup_failed))
    if overview.last_backup_at is not None:
        age = datetime.now(UTC) - overview.last_backup_at
        gauge("backup_age_seconds", "How old the newest backup is.", age.total_seconds())
    gauge("start_time_seconds", "When the server started.", _seconds(overview.started_at))
    gauge(
        "push_certificate_expiry_seconds", "When the push certificate ends.",
        _seconds(overview.push.certificate.not_after),
    )  # fmt: skip
    gauge(
        "tls_certificate_expiry_seconds", "When the server certificate ends.",
        _seconds(overview.tls_not_after),
    )  # fmt: skip
    _webhooks(registry, webhooks)
    return generate_latest(registry)


def _webhooks(registry: CollectorRegistry, webhooks: Sequence[Webhook]) -> None:
    """Add the receivers of events, by id; nothing where there are none."""
    if not webhooks:
        return
    deliveries = Counter(
        "appliance_webhook_deliveries", "Events by what became of them; retried: attempts.",
        ["webhook", "result"], registry=registry,
    )  # fmt: skip
    waiting = Gauge(
        "appliance_webhook_waiting", "Events that wait for a receiver.", ["webhook"],
        registry=registry,
    )  # fmt: skip
    failing = Gauge(
        "appliance_webhook_failing", "Whether a receiver fails or is disabled.", ["webhook"],
        registry=registry,
    )  # fmt: skip
    for state in (webhook.state for webhook in webhooks):
        for result in ("delivered", "retried", "failed", "dropped"):
            deliveries.labels(state.id, result).inc(getattr(state, result))
        waiting.labels(state.id).set(state.waiting)
        failing.labels(state.id).set(state.state != "ok")


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def routes(config: Config) -> list[web.RouteDef]:
    """Return the routes; `/metrics` only answers where the administrator's interfaces do."""
    gate = Gate(config)

    async def metrics(request: web.Request) -> web.Response:
        try:
            gate.admit(request)
        except AccessRefused:
            return web.Response(status=403)
        services = request.app[SERVICES]
        body = metrics_text(await services.status.overview(), await services.webhooks.listing())
        return web.Response(body=body, headers={"Content-Type": _METRICS_TYPE})

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
        web.get("/version", version),
    ]
