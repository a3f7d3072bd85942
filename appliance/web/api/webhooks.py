"""`/api/v1/webhooks`: the receivers of events, their logs, and what makes them try again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta

from appliance.services.receivers import Receiver
from appliance.services.webhooks import Webhook
from appliance.store.database import from_ms
from appliance.store.deliveries import Delivery
from appliance.web.api.operation import (
    Operation,
    answer,
    body_of,
    caller_of,
    query_of,
    services_of,
)
from appliance.web.api.schema import Answer, Body, Page, PageQuery


class WebhookAnswer(Answer):
    """A receiver of events and how it does; the counts only grow.

    `url` is without user, password and query.
    """

    id: str
    url: str
    signed: bool
    added: bool  # by command; false: it stands in the configuration
    state: str  # ok, failing, disabled
    waiting: int
    waiting_bytes: int
    delivered: int
    retried: int
    failed: int
    dropped: int
    failing_since: datetime | None
    retry_at: datetime | None
    problem: str | None
    delivered_at: datetime | None
    disabled_at: datetime | None


class WebhookBody(Body):
    """Where events go, and what signs them; left out, a secret is made."""

    url: str
    secret: str | None = None


class SecretBody(Body):
    """What signs from now on; left out, a secret is made."""

    secret: str | None = None


class WebhookSecretAnswer(Answer):
    """A receiver and, this once, the secret that signs what it gets.

    Until `former_until` what it gets is signed with the former secret as well.
    """

    id: str
    url: str
    secret: str
    former_until: datetime | None


class WebhookTestAnswer(Answer):
    """Whether the receiver took it; `answer` is its HTTP status, if it answered."""

    taken: bool
    answer: int | None
    problem: str | None
    seconds: float


class DeliveriesQuery(PageQuery):
    """Only the events with this status."""

    status: Literal["waiting", "delivered", "failed"] | None = None


class ReplayBody(Body):
    """Which events of the log; left out: all that failed."""

    deliveries: Annotated[list[int], Meta(max_length=1_000)] | None = None


class ReplayedAnswer(Answer):
    """How many events were queued anew."""

    replayed: int


async def listing(request: web.Request) -> web.Response:
    """All receivers: those of the configuration, then those that were added."""
    found = await services_of(request).webhooks.listing()
    return answer(Page(items=[_webhook_answer(webhook) for webhook in found]))


async def add(request: web.Request) -> web.Response:
    """Tell a receiver, too."""
    body = await body_of(request, WebhookBody)
    receiver, secret = await services_of(request).webhooks.senders.add(
        body.url, body.secret, by=caller_of(request).name
    )
    return answer(_secret_answer(receiver, secret), status=201, secret=True)


async def rotate(request: web.Request) -> web.Response:
    """Sign with another secret."""
    body = await body_of(request, SecretBody)
    receiver, secret = await services_of(request).webhooks.senders.rotate(
        request.match_info["id"], body.secret, by=caller_of(request).name
    )
    return answer(_secret_answer(receiver, secret), secret=True)


async def remove(request: web.Request) -> web.Response:
    """Tell a receiver nothing more."""
    await services_of(request).webhooks.senders.remove(
        request.match_info["id"], by=caller_of(request).name
    )
    return web.Response(status=204)


async def log(request: web.Request) -> web.Response:
    """One page of what was or is to be sent to a receiver, newest first."""
    query = query_of(request, DeliveriesQuery)
    items, cursor = await services_of(request).webhooks.log(
        request.match_info["id"], query.cursor, query.limit, query.status
    )
    return answer(Page(items=items, next_cursor=cursor))


async def test(request: web.Request) -> web.Response:
    """Send one event of its own topic, now."""
    sent = await services_of(request).webhooks.test(request.match_info["id"])
    return answer(
        WebhookTestAnswer(
            taken=sent.is_taken, answer=sent.answer, problem=sent.problem, seconds=sent.seconds
        )
    )


async def replay(request: web.Request) -> web.Response:
    """Queue events of the log anew."""
    body = await body_of(request, ReplayBody)
    replayed = await services_of(request).webhooks.replay(
        request.match_info["id"], body.deliveries, by=caller_of(request).name
    )
    return answer(ReplayedAnswer(replayed=replayed), status=202)


def _webhook_answer(webhook: Webhook) -> WebhookAnswer:
    state = webhook.state
    return WebhookAnswer(
        id=state.id, url=webhook.receiver.shown_url, signed=webhook.receiver.key is not None,
        added=webhook.receiver.is_added, state=state.state,
        waiting=state.waiting, waiting_bytes=state.waiting_bytes, delivered=state.delivered,
        retried=state.retried, failed=state.failed, dropped=state.dropped,
        failing_since=state.failing_since, retry_at=state.retry_at, problem=state.problem,
        delivered_at=state.delivered_at, disabled_at=state.disabled_at,
    )  # fmt: skip


def _secret_answer(receiver: Receiver, secret: str) -> WebhookSecretAnswer:
    return WebhookSecretAnswer(
        id=receiver.id, url=receiver.shown_url, secret=secret,
        former_until=from_ms(receiver.former_until or None),
    )  # fmt: skip


_WEBHOOKS = "/api/v1/webhooks"

operations = (
    Operation(
        method="GET", path=_WEBHOOKS, handler=listing, scope="admin",
        summary="List the receivers of events", answer=Page[WebhookAnswer],
    ),
    Operation(
        method="POST", path=_WEBHOOKS, handler=add, scope="admin",
        summary="Add a receiver of events", body=WebhookBody, answer=WebhookSecretAnswer,
        status=201,
    ),
    Operation(
        method="POST", path=f"{_WEBHOOKS}/{{id}}/rotate", handler=rotate, scope="admin",
        summary="Sign what a receiver gets with another secret, for a day with the former as well",
        body=SecretBody, answer=WebhookSecretAnswer,
    ),
    Operation(
        method="DELETE", path=f"{_WEBHOOKS}/{{id}}", handler=remove, scope="admin",
        summary="Remove a receiver that was added, with what waits for it", status=204,
    ),
    Operation(
        method="GET", path=f"{_WEBHOOKS}/{{id}}/deliveries", handler=log, scope="admin",
        summary="List what was sent to a receiver, or waits for it, newest first",
        query=DeliveriesQuery, answer=Page[Delivery],
    ),
    Operation(
        method="POST", path=f"{_WEBHOOKS}/{{id}}/test", handler=test, scope="admin",
        summary="Send a receiver an event of the topic appliance.Test, now",
        answer=WebhookTestAnswer,
    ),
    Operation(
        method="POST", path=f"{_WEBHOOKS}/{{id}}/replay", handler=replay, scope="admin",
        summary="Send a receiver again what failed, or these events of its log",
        body=ReplayBody, answer=ReplayedAnswer, status=202,
    ),
)  # fmt: skip
