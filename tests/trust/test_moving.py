"""Devices that another server enrolled: none is taken over before it comes, nor afterwards."""

from __future__ import annotations

import hashlib
import plistlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.simulator import keys
from appliance.simulator.keys import Identity
from tests.device.database import rows_about
from tests.device.device import Device
from tests.device.server import Api


class Former:
    """Another server's authority, and its check-in messages as its migration tool sends them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.authority = _authority(keys.name(("CN", f"Former {uuid.uuid4()}")))

    def identity(self, subject: str = "MDM", authority: Identity | None = None) -> Identity:
        """A certificate of the authority, or of another one."""
        return keys.issued_by(authority or self.authority, keys.name(("CN", subject)))

    async def put(self, message: Mapping[str, Any], token: str | None = None) -> int:
        """PUT /migration; returns the status."""
        basic = aiohttp.encode_basic_auth("nanomdm", token or self.api.token)
        async with self.api.session.put(
            f"{self.api.server.url}/migration",
            data=plistlib.dumps(dict(message)),
            headers={"Authorization": basic},
        ) as response:
            return response.status

    async def moved(self, **keys_of_update: Any) -> Device:
        """A device of the former server that was moved here."""
        device = Device(self.api.session)
        device.identity = self.identity()
        device.topic = self.api.server.topic
        device.server_url = device.check_in_url = f"{self.api.server.url}/mdm"
        assert await self.put(authenticate(device)) == 200
        assert await self.put(token_update(device, **keys_of_update)) == 200
        return device

    async def expect(self, device: Device, *identities: Identity) -> None:
        """Tell the server which certificate the device has, or that it has one of these."""
        told = [_sha256(identity) for identity in identities or (device.identity,)]
        body = {"devices": [{"id": device.id, "certificate_sha256": sha256} for sha256 in told]}
        answer = await self.api.post("/api/v1/awaited-devices", body)
        assert (answer.status, answer.json["unknown"]) == (200, []), answer

    async def trust(self, authority: Identity | None = None) -> str:
        """Let the certificates of the authority count; returns its fingerprint."""
        pem = (authority or self.authority).certificate.public_bytes(Encoding.PEM).decode()
        answer = await self.api.post("/api/v1/former-authorities", {"certificates": pem})
        assert answer.status == 201, answer
        fingerprint: str = answer.json["items"][0]["fingerprint_sha256"]
        return fingerprint


def _authority(subject: x509.Name) -> Identity:
    key = keys.rsa_key()
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=400))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return Identity(certificate=builder.sign(key, hashes.SHA256()), key=key)


def _sha256(identity: Identity | None) -> str:
    assert identity is not None
    return hashlib.sha256(identity.der).hexdigest()


def authenticate(device: Device) -> dict[str, Any]:
    """What the device said when it enrolled at the former server."""
    return {
        "MessageType": "Authenticate", "Topic": device.topic, "UDID": device.udid,
        "DeviceName": "Moved", "Model": "iPad", "SerialNumber": device.serial_number,
    }  # fmt: skip


def token_update(device: Device, **keys_of_update: Any) -> dict[str, Any]:
    """How the former server pushed to it."""
    return {
        "MessageType": "TokenUpdate", "Topic": device.topic, "UDID": device.udid,
        "Token": device.token, "PushMagic": device.push_magic, **keys_of_update,
    }  # fmt: skip


@pytest.fixture
def former(api: Api) -> Former:
    """Another server."""
    return Former(api)


async def test_a_07_a_moved_device_is_refused_until_its_certificate_counts(
    api: Api, former: Former
) -> None:
    device = await former.moved()
    shown = await api.device(device.id)
    assert (shown["state"], shown["serial_number"]) == ("enrolled", device.serial_number)
    waits = await api.queue(device.id)
    before = rows_about(api.server.data, device.id)
    for reply in (await device.idle(), await device.token_update(), await device.authenticate()):
        assert reply.status == 400
    assert rows_about(api.server.data, device.id) == before
    events = (await api.get(f"/api/v1/devices/{device.id}/events")).json["items"]
    (refused,) = [event for event in events if event["kind"] == "device.arrival_refused"]
    assert device.identity is not None
    assert refused["data"]["certificate_sha256"] == _sha256(device.identity)

    await former.expect(device)
    command = (await device.idle()).command
    assert command is not None
    assert command.uuid == waits
    assert (await device.acknowledge(command)).status == 200
    assert (await api.device(device.id))["renewal"] == "not_possible"


async def test_a_07_what_is_expected_goes_before_what_is_trusted(api: Api, former: Former) -> None:
    device, thief = await former.moved(), await former.moved()
    await former.trust()
    await former.expect(device)
    right, device.identity = device.identity, thief.identity
    assert (await device.idle()).status == 400
    device.identity = right
    assert (await device.idle()).status == 200
    assert (await thief.idle()).status == 200, "its own enrollment, by its authority"


async def test_a_07_of_several_that_are_expected_any_counts_and_no_other(
    api: Api, former: Former
) -> None:
    devices = [await former.moved() for _ in range(3)]
    await former.trust()
    for place, device in enumerate(devices):
        assert device.identity is not None
        known = [former.identity(), former.identity()]
        known.insert(place, device.identity)
        await former.expect(device, *known)
        right, device.identity = device.identity, former.identity()
        assert (await device.idle()).status == 400, "it is trusted, but not one of these"
        device.identity = right
        assert (await device.idle()).status == 200
        device.identity = known[place - 1]
        assert (await device.idle()).status == 400, "the first one that came stays"


async def test_a_07_what_is_told_anew_goes_before_what_was_told(api: Api, former: Former) -> None:
    device = await former.moved()
    assert device.identity is not None
    await former.expect(device, former.identity(), device.identity)
    right, other = device.identity, former.identity()
    await former.expect(device, other)
    assert (await device.idle()).status == 400
    await former.expect(device, right, right)
    assert (await device.idle()).status == 200


async def test_nobody_is_told_of_one_certificate_for_two_devices(former: Former) -> None:
    one, other = await former.moved(), await former.moved()
    shared = _sha256(one.identity)
    told = [(one, shared), (other, _sha256(other.identity)), (other, shared)]
    devices = [{"id": device.id, "certificate_sha256": sha256} for device, sha256 in told]
    refused = await former.api.post("/api/v1/awaited-devices", {"devices": devices})
    assert (refused.status, refused.json["code"]) == (409, "moving.ambiguous")
    assert (await one.idle()).status == 400


async def test_a_03_a_certificate_that_is_known_to_be_anothers_takes_no_device(
    api: Api, former: Former
) -> None:
    device, thief, late = [await former.moved() for _ in range(3)]
    await former.trust()
    assert late.identity is not None
    before = former.identity()
    await former.expect(late, before, late.identity)
    assert (await thief.idle()).status == 200
    mine = device.identity
    for identity in (thief.identity, before, late.identity, (await api.enroll()).identity):
        device.identity = identity
        for reply in (await device.idle(), await device.token_update()):
            assert reply.status == 400
    device.identity = mine
    assert (await device.idle()).status == 200
    device.identity = former.identity()
    assert (await device.idle()).status == 400, "the first one that came stays"


async def test_a_06_only_the_key_of_a_trusted_authority_counts(api: Api, former: Former) -> None:
    device = await former.moved()
    await former.trust()
    subject = former.authority.certificate.subject
    look_alike = _authority(subject)
    for identity in (
        former.identity(authority=look_alike),
        keys.self_signed(keys.name(("CN", "MDM"))),
        former.authority,
    ):
        device.identity = identity
        assert (await device.idle()).status == 400
    stranger = await former.moved()
    stranger.identification = {"UDID": str(uuid.uuid4())}
    assert (await stranger.idle()).status == 400, "nobody awaits it"


async def test_trust_ends_and_who_has_come_stays(api: Api, former: Former) -> None:
    early, late = await former.moved(), await former.moved()
    fingerprint = await former.trust()
    assert (await early.idle()).status == 200
    path = f"/api/v1/former-authorities/{fingerprint}"
    assert (await api.delete(path)).status == 204
    assert (await api.delete(path)).status == 404
    assert (await late.idle()).status == 400
    assert (await early.idle()).status == 200
    serial = (await api.device(early.id))["certificate_serial"]
    answer = await api.post("/api/v1/certificate-authority/revoke", {"name": serial})
    assert answer.status == 200, answer
    assert (await early.idle()).status == 400
    async with api.session.get(f"{api.server.url}/ca.crl") as response:
        assert response.status == 200, "another authority's number is not in our list"


async def test_blocked_and_forgotten_devices_do_not_come(api: Api, former: Former) -> None:
    blocked, forgotten = await former.moved(), await former.moved()
    await former.trust()
    await api.post(f"/api/v1/devices/{blocked.id}/block")
    await api.post(f"/api/v1/devices/{forgotten.id}/forget")
    assert (await blocked.idle()).status == 400
    assert (await forgotten.idle()).status == 400
    assert await former.put(authenticate(blocked)) == 409


async def test_migration_changes_no_device_that_has_come(
    api: Api, former: Former, device: Device
) -> None:
    await device.set_bootstrap_token(b"mine")
    before = rows_about(api.server.data, device.id)
    token = {"MessageType": "SetBootstrapToken", "UDID": device.udid, "BootstrapToken": b"x"}
    for message in (authenticate(device), token_update(device, Token=b"\7" * 32), token):
        assert await former.put(message) == 409
    assert rows_about(api.server.data, device.id) == before
    moved = await former.moved()
    await former.expect(moved)
    assert (await moved.idle()).status == 200
    assert await former.put(token_update(moved)) == 409


async def test_migration_is_for_administrators_and_for_enrollments_alone(
    api: Api, former: Former, device: Device
) -> None:
    made = await api.post("/api/v1/tokens", {"name": str(uuid.uuid4()), "scopes": ["write"]})
    assert await former.put(authenticate(device), made.json["token"]) == 403
    assert await former.put(authenticate(device), "wrong") == 401
    stranger = Device(api.session)
    stranger.topic = "com.apple.mgmt.External.another"
    assert await former.put(authenticate(stranger)) == 422, "it could not be woken"
    stranger.topic = api.server.topic
    assert await former.put(token_update(stranger)) == 404, "Authenticate comes first"
    assert (
        await former.put({"MessageType": "CheckOut", "Topic": device.topic, "UDID": device.udid})
        == 422
    )
    assert await former.put({"Status": "Idle", "UDID": device.udid}) == 400
    assert (await api.get(f"/api/v1/devices/{stranger.id}")).status == 404


async def test_what_was_escrowed_comes_along_and_a_repeated_move_changes_nothing(
    api: Api, former: Former
) -> None:
    device = await former.moved(UnlockToken=b"unlock")
    token = {"MessageType": "SetBootstrapToken", "UDID": device.udid, "BootstrapToken": b"boot"}
    assert await former.put(token) == 200
    await former.expect(device)
    waits = await api.queue(device.id)
    assert await former.put(authenticate(device)) == 200
    assert await former.put(token_update(device, UnlockToken=b"unlock")) == 200
    command = (await device.idle()).command
    assert command is not None
    assert command.uuid == waits
    await device.acknowledge(command)
    assert await device.get_bootstrap_token() == b"boot"
    await api.queue(device.id, "ClearPasscode", confirm={"serial_number": device.serial_number})
    cleared = (await device.idle()).command
    assert cleared is not None
    assert cleared.payload["UnlockToken"] == b"unlock"


async def test_a_profile_of_a_moved_device_is_not_removed_unasked(api: Api, former: Former) -> None:
    """Its management profile has a name that only the former server knows."""
    device = await former.moved()
    parameters = {"Identifier": "com.github.micromdm.micromdm.enroll"}
    order = {"targets": [device.id], "request_type": "RemoveProfile", "parameters": parameters}
    refused = await api.post("/api/v1/commands", order)
    assert (refused.status, refused.json["code"]) == (422, "command.confirmation_required")
    await former.expect(device)
    assert (await device.idle()).command is None
    refused = await api.post("/api/v1/commands", order)
    assert (refused.status, refused.json["code"]) == (422, "command.confirmation_required")
    confirmed = {**order, "confirm": {"serial_number": device.serial_number}}
    assert (await api.post("/api/v1/commands", confirmed)).status == 202


async def test_a_certificate_that_has_ended_does_not_come(api: Api, former: Former) -> None:
    device = await former.moved()
    await former.trust()
    now = datetime.now(UTC)
    device.identity = keys.issued_by(
        former.authority,
        keys.name(("CN", "MDM")),
        not_before=now - timedelta(days=3),
        not_after=now - timedelta(days=1),
    )
    assert (await device.idle()).status == 400


async def test_a_moved_device_keeps_the_declarations_of_its_former_server(former: Former) -> None:
    device = await former.moved()
    await former.expect(device)
    reports = await device.check_in("DeclarativeManagement", Endpoint="status", Data=b"{}")
    assert reports.status == 200
    for endpoint in ("tokens", "declaration-items"):
        reply = await device.check_in("DeclarativeManagement", Endpoint=endpoint)
        assert reply.status == 404, "told of an empty set, it would drop them all"
