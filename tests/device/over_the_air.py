"""A device that signs who it is, by `openssl cms`, before it is given an enrollment profile."""

from __future__ import annotations

import plistlib
from dataclasses import dataclass
from typing import Any

from appliance.simulator import cms
from appliance.simulator.keys import Identity
from appliance.simulator.profile import Profile

from .apple import AppleLike
from .device import Device
from .scep import ScepClient
from .server import Api, Link

_PROFILE = "application/x-apple-aspen-config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The answer to what a device signed."""

    status: int
    body: bytes


class ProvingDevice:
    """One device; `signer` is the identity that Apple gave it, and may be exchanged for a lie."""

    def __init__(self, api: Api, apple: AppleLike, signer: Identity | None = None) -> None:
        self.api = api
        self.apple = apple
        self.device = Device(api.session)
        self.signer = signer or apple.device()
        self.exchange_identity: Identity | None = None
        self.options: tuple[str, ...] = ()

    async def challenge(self, link: Link) -> str:
        """Phase 1: what the profile service asks for."""
        async with self.api.session.get(f"{link.url}/ota.mobileconfig") as response:
            assert response.status == 200
            assert response.content_type == _PROFILE
            service = plistlib.loads(cms.verify(await response.read()).content or b"")
        assert service["PayloadType"] == "Profile Service"
        content = service["PayloadContent"]
        assert content["URL"] == f"{self.api.server.url}/ota"
        assert {"UDID", "SERIAL"} <= set(content["DeviceAttributes"])
        challenge: str = content["Challenge"]
        return challenge

    def message(self, challenge: str | None = None, *, by: Identity | None = None) -> bytes:
        """The signed attributes."""
        attributes: dict[str, Any] = {
            "UDID": self.device.udid,
            "SERIAL": self.device.serial_number,
            "PRODUCT": "iPhone11,2",
            "VERSION": "16A366",
        }
        if challenge is not None:
            attributes["CHALLENGE"] = challenge
        return self.apple.sign(plistlib.dumps(attributes), by or self.signer, *self.options)

    async def post(self, message: bytes, url: str = "", **headers: str) -> Posted:
        """POST to the profile service, or to another URL."""
        headers.setdefault("Content-Type", "application/pkcs7-signature")
        url = url or f"{self.api.server.url}/ota"
        async with self.api.session.post(url, data=message, headers=headers) as response:
            return Posted(status=response.status, body=await response.read())

    async def identify(self, link: Link) -> Profile:
        """Phases 1 and 2: the profile with the identity of the exchange."""
        posted = await self.post(self.message(await self.challenge(link)))
        assert posted.status == 200
        profile = Profile.read(posted.body)
        assert [one["PayloadType"] for one in profile.plist["PayloadContent"]] == [
            "com.apple.security.scep"
        ]
        return profile

    async def obtain(self, link: Link) -> Identity:
        """Phases 1 and 2, and the identity of the exchange by SCEP."""
        scep = (await self.identify(link)).scep
        client = ScepClient(self.api.session, scep["URL"])
        self.exchange_identity = await client.enroll(scep["Challenge"])
        return self.exchange_identity

    async def enroll(self, link: Link) -> Device:
        """All phases, and what every device does then."""
        posted = await self.post(self.message(by=await self.obtain(link)))
        assert posted.status == 200
        await self.device.enroll_from_profile(posted.body)
        return self.device
