"""The server's SCEP side as the tests use it."""

from __future__ import annotations

import subprocess

import pytest

from appliance.simulator.profile import Profile
from tests.device.database import certificate_count
from tests.device.scep import ScepClient, ScepFailure
from tests.device.server import Api
from tests.programs import program

SUBJECT = (("CN", "device"),)


class Authority:
    """The server's SCEP side, as one test uses it."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.url = api.server.url + "/scep"
        self.client = ScepClient(api.session, self.url)

    async def challenge(self) -> str:
        """A fresh challenge, from a link of its own."""
        challenge: str = Profile.read(await self.api.profile()).scep["Challenge"]
        return challenge

    def count(self) -> int:
        """Certificates issued so far."""
        return certificate_count(self.api.server.data)

    async def refuses(self, *fail_infos: str, **arguments: object) -> None:
        """Refused with one of the failInfos or an HTTP error, and nothing is issued."""
        before = self.count()
        with pytest.raises(ScepFailure) as refused:
            await self.client.enroll(**arguments)  # type: ignore[arg-type]
        failure = refused.value
        assert failure.status in (200, 400), failure
        if failure.status == 200 and fail_infos:
            assert failure.fail_info in fail_infos, failure
        assert self.count() == before


def openssl(*arguments: object, stdin: bytes = b"") -> bytes:
    """Run openssl and return its output."""
    command = [program("openssl"), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=True, timeout=120).stdout
