"""A certificate that a person has to approve first: the device asks again, and believes no liar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.simulator import scep
from appliance.simulator.fleet import ProfileSource
from tests.simulator.fake_mdm import FakeMdm, fake_mdm, mdm_payload, payload, profile
from tests.simulator.fake_scep import FakeScep, fake_scep
from tests.simulator.fleets import running_fleet


@pytest_asyncio.fixture
async def mdm(tmp_path: Path) -> AsyncIterator[FakeMdm]:
    async with fake_mdm(tmp_path) as fake:
        yield fake


def source(mdm: FakeMdm, ca: FakeScep, **content: Any) -> ProfileSource:
    """An enrollment profile whose identity comes from `ca`; devices come back without a pause."""
    wanted = {"URL": ca.url, "Keysize": 2048, "Retries": 3, "RetryDelay": 0, **content}
    identity = payload("com.apple.security.scep", PayloadContent=wanted)
    root = payload("com.apple.security.root", PayloadContent=mdm.root.public_bytes(Encoding.DER))
    return ProfileSource(data=profile(root, identity, mdm_payload(mdm.url, identity)))


async def test_a_pending_request_is_polled_until_the_certificate_is_there(mdm: FakeMdm) -> None:
    async with fake_scep("pending", "pending") as ca, running_fleet() as watched:
        await watched.fleet.enroll(source(mdm, ca))
        assert watched.journal.enrolled == 1, watched.journal.failures
        kinds = [one.message_type for one in ca.asked]
        assert kinds == [scep.PKCS_REQ, scep.CERT_POLL, scep.CERT_POLL]
        assert len({one.transaction_id for one in ca.asked}) == 1
        request = x509.load_der_x509_csr(ca.asked[0].content)
        question = scep.issuer_and_subject(ca.ca.certificate, request.subject)
        assert [one.content for one in ca.asked[1:]] == [question, question]
    assert len(mdm.of("TokenUpdate")) == 1


async def test_it_gives_up_after_the_retries_of_the_profile(mdm: FakeMdm) -> None:
    async with fake_scep(*["pending"] * 9) as ca, running_fleet() as watched:
        await watched.fleet.enroll(source(mdm, ca, Retries=2))
        assert "still pending" in watched.of("failed")[0]["reason"]
        assert len(ca.asked) == 3
    assert not mdm.received


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (["refuse"], "failInfo 2 (badRequest)"),
        (["pending", "refuse"], "failInfo 2 (badRequest)"),
        (["strange"], "its nonce is not ours"),
        (["pending", "strange"], "its nonce is not ours"),
    ],
)
async def test_a_refusal_or_a_lie_ends_the_enrollment_with_its_reason(
    mdm: FakeMdm, script: list[str], said: str
) -> None:
    async with fake_scep(*script) as ca, running_fleet() as watched:
        await watched.fleet.enroll(source(mdm, ca))
        assert said in watched.of("failed")[0]["reason"]
    assert not mdm.received


async def test_an_authority_with_another_fingerprint_is_asked_for_nothing(mdm: FakeMdm) -> None:
    async with fake_scep() as ca, running_fleet() as watched:
        await watched.fleet.enroll(source(mdm, ca, CAFingerprint=b"\0" * 32))
        assert "CAFingerprint" in watched.of("failed")[0]["reason"]
        assert not ca.asked
