"""Links, tokens, push certificate, authority, status, health: the rest of the API."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import NameOID

from .api_client import ApiClient

LINKS = "/api/v1/enrollment-links"
PUSH = "/api/v1/push-certificate"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """The key of the push certificates below."""
    return rsa.generate_private_key(65537, 2048)


def push_certificate(key: rsa.RSAPrivateKey, topic: str, *, days: int = 300) -> x509.Certificate:
    """A certificate as Apple's portal issues it, but self-signed."""
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.USER_ID, topic),
            x509.NameAttribute(NameOID.COMMON_NAME, f"APSP:{topic[-8:]}"),
        ]
    )
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
    )  # fmt: skip
    return builder.sign(key, hashes.SHA256())


def pem(key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> tuple[str, str]:
    """Certificate and key in PEM."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), private.decode()


async def test_a_link_lives_until_it_is_revoked(api: ApiClient) -> None:
    body = {"uses": 3, "expires_in": "12h", "label": "lab"}
    made = await api.call("POST", LINKS, body)
    assert made.status == 201
    code = made.json["code"]
    assert made.json["url"] == f"https://mdm.example.com:8443/e/{code}"
    assert made.json["profile_url"] == f"{made.json['url']}/enroll.mobileconfig"
    assert made.headers["Cache-Control"] == "no-store"
    (listed,) = (await api.call("GET", LINKS)).json["items"]
    assert (listed["code"], listed["uses"], listed["used"]) == (code, 3, 0)
    assert (listed["label"], listed["state"]) == ("lab", "open")
    revoked = await api.call("DELETE", f"{LINKS}/{code}")
    assert (revoked.status, revoked.json["state"]) == (200, "revoked")
    assert (await api.call("DELETE", f"{LINKS}/none")).status == 404


async def test_pages_of_links_follow_each_other_without_gap(api: ApiClient) -> None:
    made = [(await api.call("POST", LINKS, {})).json["code"] for _ in range(5)]
    with api.database() as db, db:  # those of one moment, too
        db.execute("UPDATE enrollment_links SET created_at = 1 WHERE code <> ?", (made[-1],))
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = (await api.call("GET", LINKS, params={"limit": "2", "cursor": cursor})).json
        seen += [link["code"] for link in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [made[-1], *sorted(made[:-1])]
    assert (await api.call("GET", LINKS, params={"cursor": "of nothing"})).json["items"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [({"uses": 0}, "uses"), ({"uses": "x"}, "uses"), ({"expires_in": "soon"}, "expires_in")],
)
async def test_a_wrong_link_is_refused_by_field(api: ApiClient, body: object, field: str) -> None:
    answer = await api.call("POST", LINKS, body)
    assert answer.status == 422
    assert answer.json["errors"][0]["pointer"] == f"/{field}"


async def test_d10_a_token_is_shown_once(api: ApiClient) -> None:
    made = await api.call("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["read"]})
    assert made.status == 201
    assert made.json["token"].startswith("apl_")
    assert made.headers["Cache-Control"] == "no-store"
    listed = await api.call("GET", "/api/v1/tokens")
    assert "ci" in listed.text
    assert made.json["token"].split("_", 2)[2] not in listed.text
    assert (await api.call("POST", "/api/v1/tokens", {"name": "ci"})).status == 409
    unknown = await api.call("POST", "/api/v1/tokens", {"name": "x", "scopes": ["root"]})
    assert (unknown.status, unknown.json["errors"][0]["pointer"]) == (422, "/scopes")
    over = {"name": "y", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}
    useless = await api.call("POST", "/api/v1/tokens", over)
    assert (useless.status, useless.json["errors"][0]["pointer"]) == (422, "/expires_at")


async def test_a_push_certificate_is_taken_as_json(api: ApiClient, key: rsa.RSAPrivateKey) -> None:
    assert (await api.call("GET", PUSH)).json["configured"] is False
    topic = "com.apple.mgmt.External.one"
    certificate, private = pem(key, push_certificate(key, topic))
    body = {"certificate": certificate, "private_key": private, "account": "it@example.com"}
    answer = await api.call("PUT", PUSH, body)
    assert answer.status == 200, answer.text
    shown = (await api.call("GET", PUSH)).json
    assert (shown["configured"], shown["topic"]) == (True, topic)
    assert (shown["account"], shown["days_left"]) == ("it@example.com", 299)
    assert "PRIVATE" not in str(shown)


@pytest.mark.parametrize("separator", ["", "\n"])
@pytest.mark.parametrize("key_first", [True, False])
async def test_a_push_certificate_is_taken_as_one_pem(
    api: ApiClient, key: rsa.RSAPrivateKey, separator: str, *, key_first: bool
) -> None:
    parts = [part.strip() for part in pem(key, push_certificate(key, "com.apple.mgmt.a"))]
    text = separator.join(reversed(parts) if key_first else parts)
    headers = {
        "Authorization": f"Bearer {api.token}",
        "Content-Type": "application/x-pem-file",
    }
    async with api.client.put(PUSH, data=text, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert (await response.json())["topic"] == "com.apple.mgmt.a"


async def test_a_push_certificate_is_taken_as_der_and_pkcs12(
    api: ApiClient, key: rsa.RSAPrivateKey
) -> None:
    certificate = push_certificate(key, "com.apple.mgmt.a")
    der = {
        "certificate": base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
        "private_key": base64.b64encode(
            key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        ).decode(),
    }
    assert (await api.call("PUT", PUSH, der)).status == 200
    encryption = BestAvailableEncryption(b"hush")
    bag = serialize_key_and_certificates(None, key, certificate, None, encryption)
    body = {"pkcs12": base64.b64encode(bag).decode(), "password": "hush"}
    assert (await api.call("PUT", PUSH, body)).status == 200
    wrong = await api.call("PUT", PUSH, {**body, "password": "wrong"})
    assert wrong.status == 422
    assert "hush" not in wrong.text


@pytest.mark.parametrize("how", ["json", "pem", "pkcs12"])
async def test_a_renewal_without_an_account_keeps_the_noted_one(
    api: ApiClient, key: rsa.RSAPrivateKey, how: str
) -> None:
    made = push_certificate(key, "com.apple.mgmt.External.one")
    certificate, private = pem(key, made)
    body = {"certificate": certificate, "private_key": private}
    await api.call("PUT", PUSH, {**body, "account": "it@example.com"})
    match how:
        case "json":
            renewed = await api.call("PUT", PUSH, body)
        case "pem":
            headers = {"Content-Type": "application/x-pem-file"}
            text = certificate + private
            renewed = await api.call("PUT", PUSH, data=text, headers=headers)
        case _:
            bag = serialize_key_and_certificates(None, key, made, None, NoEncryption())
            renewed = await api.call("PUT", PUSH, {"pkcs12": base64.b64encode(bag).decode()})
    assert (renewed.status, renewed.json["account"]) == (200, "it@example.com")


async def test_a_new_topic_is_refused_with_the_number_of_orphans(
    api: ApiClient, key: rsa.RSAPrivateKey
) -> None:
    api.enroll("one")
    topic = "com.apple.mgmt.External.other"
    certificate, private = pem(key, push_certificate(key, topic))
    body = {"certificate": certificate, "private_key": private}
    answer = await api.call("PUT", PUSH, body)
    assert answer.status == 409
    assert "1 enrolled device" in answer.json["detail"]
    refused = await api.call("PUT", PUSH, {**body, "replace_topic": "other"})
    assert (refused.status, f"--replace-topic {topic}" in refused.json["hint"]) == (409, True)
    assert (await api.call("PUT", PUSH, {**body, "replace_topic": topic})).status == 200


async def test_half_a_push_certificate_names_what_is_missing(
    api: ApiClient, key: rsa.RSAPrivateKey
) -> None:
    certificate, private = pem(key, push_certificate(key, "com.apple.mgmt.a"))
    for body, pointer in (
        ({}, "/certificate"),
        ({"certificate": certificate}, "/private_key"),
        ({"certificate": "!", "private_key": private}, "/certificate"),
    ):
        answer = await api.call("PUT", PUSH, body)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (422, pointer)


async def test_the_authority_shows_itself_and_revokes(api: ApiClient) -> None:
    api.enroll("one")
    shown = (await api.call("GET", "/api/v1/certificate-authority")).json
    assert (shown["valid"], shown["revoked"]) == (1, 0)
    path = "/api/v1/certificate-authority/revoke"
    answer = await api.call("POST", path, {"name": "one"})
    assert (answer.status, answer.json["serial"]) == (200, b"one".hex())
    assert (await api.call("GET", "/api/v1/certificate-authority")).json["revoked"] == 1
    assert (await api.call("POST", path, {"name": "nobody"})).status == 404


async def test_the_status_says_what_needs_a_person(api: ApiClient) -> None:
    api.enroll("one")
    shown = (await api.call("GET", "/api/v1/status")).json
    assert shown["devices"] == {"enrolled": 1}
    assert shown["push"]["configured"] is False
    assert any("push certificate" in problem for problem in shown["problems"])


async def test_health_and_version_need_no_token(api: ApiClient) -> None:
    for path in ("/healthz", "/readyz", "/version"):
        assert (await api.call("GET", path, token=None)).status == 200
    assert set((await api.call("GET", "/version", token=None)).json) == {"version"}


async def test_metrics_count_devices_and_commands(api: ApiClient) -> None:
    api.enroll("one")
    body = {"targets": ["one"], "request_type": "ProfileList"}
    assert (await api.call("POST", "/api/v1/commands", body)).status == 202
    text = (await api.call("GET", "/metrics", token=None)).text
    assert 'appliance_devices{state="enrolled"} 1.0' in text
    assert "appliance_queue_depth 1.0" in text
    assert "one" not in {line.partition("{")[2] for line in text.splitlines()}


async def test_an_unknown_path_and_a_wrong_method_are_problems(api: ApiClient) -> None:
    missing = await api.call("GET", "/api/v1/nothing")
    assert (missing.status, missing.json["code"]) == (404, "request.not_found")
    wrong = await api.call("PATCH", "/api/v1/devices")
    assert (wrong.status, wrong.json["code"]) == (405, "request.method_not_allowed")
    assert "GET" in wrong.headers["Allow"]


async def test_a_body_over_the_limit_is_413(api: ApiClient) -> None:
    headers = {"Authorization": f"Bearer {api.token}"}
    body = io.BytesIO(b"x" * (5 << 20))
    async with api.client.post("/api/v1/commands", data=body, headers=headers) as response:
        assert response.status == 413
        assert (await response.json(content_type=None))["code"] == "request.too_large"
