"""A network user of a Mac proves to be that user (RFC 2069's digest, in two rounds)."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest

from appliance.simulator.failures import ServerRefused
from appliance.simulator.transport import Reply
from appliance.simulator.users import authenticate_user, digest_response


class Server:
    """Answers UserAuthenticate in order."""

    def __init__(self, *answers: Reply) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def check_in(self, message_type: str, **keys: Any) -> Reply:
        assert message_type == "UserAuthenticate"
        self.asked.append(keys)
        return self._answers.pop(0)


def said(status: int = 200, **answer: str) -> Reply:
    body = plistlib.dumps(answer) if answer else b""
    return Reply(status=status, content_type="application/xml", body=body)


async def test_a_user_who_is_not_managed_gets_no_channel() -> None:
    assert await authenticate_user(Server(said(410)).check_in, "yuki", "x") is None


async def test_an_empty_challenge_needs_no_second_round() -> None:
    server = Server(said(DigestChallenge=""))
    assert await authenticate_user(server.check_in, "yuki", "x") == ""
    assert server.asked == [{}]


async def test_a_challenge_is_answered_and_gives_the_token() -> None:
    challenge = 'Digest nonce="n0", realm="lab"'
    server = Server(said(DigestChallenge=challenge), said(AuthToken="opaque"))
    assert await authenticate_user(server.check_in, "yuki", "x") == "opaque"
    response = server.asked[1]["DigestResponse"]
    assert response == digest_response(challenge, "yuki", "x")
    assert 'username="yuki",realm="lab",nonce="n0",uri="/"' in response


async def test_a_wrong_password_gives_no_channel() -> None:
    server = Server(said(DigestChallenge='Digest nonce="n"'), said(AuthToken=""))
    assert await authenticate_user(server.check_in, "yuki", "x") is None


async def test_another_answer_is_a_refusal() -> None:
    with pytest.raises(ServerRefused, match="500"):
        await authenticate_user(Server(said(500)).check_in, "yuki", "x")
