"""Each answer of APNs, and what the caller is told to do."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from appliance.apns import (
    Accepted,
    CertificateRefused,
    Outcome,
    PushSender,
    PushTarget,
    Refused,
    Retry,
    TokenGone,
    TokenRefused,
)
from appliance.apns.outcome import Answer, outcome_of
from appliance.simulator.apns import ApnsAnswer, ApnsServer
from appliance.simulator.apns_certificates import TOPIC
from tests.apns.conftest import TARGET, target

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_push_is_sent_as_apple_documents_it(apns: ApnsServer, sender: PushSender) -> None:
    outcome = await sender.send(TARGET, expires_in_seconds=3600)

    (push,) = apns.pushes
    assert outcome == Accepted(apns_id=push.headers["apns-id"])
    assert push.token == TARGET.token
    assert push.push_magic == TARGET.push_magic
    assert push.headers[":path"] == "/3/device/010203ff"
    assert push.headers["apns-topic"] == TOPIC
    assert push.headers["apns-push-type"] == "mdm"
    assert push.headers["apns-priority"] == "10"
    assert abs(int(push.headers["apns-expiration"]) - time.time() - 3600) < 5


async def test_no_expiry_means_try_once(apns: ApnsServer, sender: PushSender) -> None:
    await sender.send(TARGET, expires_in_seconds=0)

    assert apns.pushes[0].headers["apns-expiration"] == "0"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ApnsAnswer(status=400, reason="BadDeviceToken"), TokenRefused(reason="BadDeviceToken")),
        (
            ApnsAnswer(status=400, reason="DeviceTokenNotForTopic"),
            TokenRefused(reason="DeviceTokenNotForTopic"),
        ),
        (ApnsAnswer(status=400, reason="BadTopic"), Refused(status=400, reason="BadTopic")),
        (ApnsAnswer(status=400, reason="IdleTimeout"), Retry(reason="IdleTimeout")),
        (
            ApnsAnswer(status=403, reason="BadCertificate"),
            CertificateRefused(reason="BadCertificate"),
        ),
        (ApnsAnswer(status=404, reason="BadPath"), Refused(status=404, reason="BadPath")),
        (
            ApnsAnswer(status=405, reason="MethodNotAllowed"),
            Refused(status=405, reason="MethodNotAllowed"),
        ),
        (
            ApnsAnswer(status=410, reason="Unregistered", timestamp_ms=1_767_225_600_500),
            TokenGone(reason="Unregistered", since=NOW + timedelta(milliseconds=500)),
        ),
        (ApnsAnswer(status=410), TokenGone(reason="HTTP 410")),
        (
            ApnsAnswer(status=413, reason="PayloadTooLarge"),
            Refused(status=413, reason="PayloadTooLarge"),
        ),
        (
            ApnsAnswer(status=429, reason="TooManyRequests", retry_after="17"),
            Retry(reason="TooManyRequests", after_seconds=17),
        ),
        (
            ApnsAnswer(status=500, reason="InternalServerError"),
            Retry(reason="InternalServerError"),
        ),
        (ApnsAnswer(status=503), Retry(reason="HTTP 503")),
        (
            ApnsAnswer(status=503, reason="Shutdown", split_body=True, with_apns_id=False),
            Retry(reason="Shutdown"),
        ),
    ],
    ids=lambda value: f"{value.status}-{value.reason}" if isinstance(value, ApnsAnswer) else None,
)
async def test_each_answer_says_what_to_do_next(
    apns: ApnsServer, sender: PushSender, answer: ApnsAnswer, expected: Outcome
) -> None:
    apns.script(TARGET.token, answer)

    assert await sender.send(TARGET, expires_in_seconds=60) == expected
    assert apns.push_count == 1, "an answer is final: nothing is sent twice"


async def test_accepted_without_apns_id_names_the_one_sent(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.script(TARGET.token, ApnsAnswer(with_apns_id=False))

    outcome = await sender.send(TARGET, expires_in_seconds=60)

    assert outcome == Accepted(apns_id=apns.pushes[0].headers["apns-id"])


async def test_too_large_a_push_magic_is_never_sent(apns: ApnsServer, sender: PushSender) -> None:
    large = PushTarget(token=b"\x01", push_magic="x" * 4096, topic=TOPIC)

    outcome = await sender.send(large, expires_in_seconds=60)

    assert outcome == Refused(status=413, reason="PayloadTooLarge")
    assert apns.push_count == 0


async def test_3000_error_replies_do_not_use_up_the_connection(
    apns: ApnsServer, sender: PushSender
) -> None:
    apns.default = ApnsAnswer(status=410, reason="Unregistered", timestamp_ms=1_700_000_000_000)

    outcomes = await asyncio.gather(
        *(sender.send(target(number), expires_in_seconds=60) for number in range(3000))
    )

    assert all(isinstance(outcome, TokenGone) for outcome in outcomes)
    assert apns.connection_count == 1


def test_the_push_magic_is_not_in_the_repr() -> None:
    assert TARGET.push_magic not in repr(TARGET)
    assert "magic" not in repr(TARGET).replace("push_magic", "")


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("99999999", 3600),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("-5", None),
        ("soon", None),
        ("٣", 3),
        ("²", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(
    retry_after: str, seconds: float | None
) -> None:
    answer = Answer(status=429, headers={b"retry-after": retry_after.encode()}, body=b"")

    outcome = outcome_of(answer, apns_id="", now=NOW)

    assert outcome == Retry(reason="HTTP 429", after_seconds=seconds)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'"text"',
        b'{"reason": 7}',
        b'{"reason": ""}',
        b"\xff\xfe",
        b"[" * 4000,
        b'{"timestamp": 1e400}',
        b'{"timestamp": true}'[:-1],
        b'{"timestamp": 999999999999999999999}',
        b'{"timestamp": "yesterday"}',
    ],
)
def test_an_unreadable_body_leaves_the_status(body: bytes) -> None:
    answer = Answer(status=410, headers={}, body=body)

    assert outcome_of(answer, apns_id="", now=NOW) == TokenGone(reason="HTTP 410")


def test_a_reason_is_short_and_printable() -> None:
    body = b'{"reason": "a\\u0000\\n' + b"b" * 500 + b'"}'
    answer = Answer(status=500, headers={}, body=body)

    outcome = outcome_of(answer, apns_id="", now=NOW)

    assert isinstance(outcome, Retry)
    assert outcome.reason == "a" + "b" * 97
