"""B-25: SCEP clients that others wrote get certificates."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yarl
from aiohttp import web
from cryptography import x509

from appliance.simulator.keys import key_pem, rsa_key
from tests.programs import program
from tests.trust.authority import Authority


async def run(command: list[str], *, folder: Path, **environment: str) -> str:
    """Run a client to its end and return what it printed."""
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    return output


def issued(authority: Authority, file: Path) -> x509.Certificate:
    """The certificate a client wrote, which this server's authority must have signed."""
    ca_file = authority.api.server.data / "keys" / "ca.pem"
    ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    certificate.verify_directly_issued_by(ca)
    return certificate


async def test_b25_scepclient_of_debian_enrolls(authority: Authority, tmp_path: Path) -> None:
    command = [program("/usr/bin/scepclient"), "-server-url", authority.url]
    command += ["-private-key", "key.pem", "-certificate", "cert.pem"]
    root = str(authority.api.server.root_file)
    challenge = ["-challenge", await authority.challenge()]
    await run([*command, *challenge], folder=tmp_path, SSL_CERT_FILE=root)
    first = issued(authority, tmp_path / "cert.pem")
    assert first.serial_number.bit_length() > 64


@asynccontextmanager
async def plain_relay(authority: Authority) -> AsyncIterator[str]:
    """Plain HTTP in front of the server, for a client that knows no private TLS root."""

    async def forward(request: web.Request) -> web.Response:
        # As the client wrote it: decoding would turn "+" into a space.
        url = yarl.URL(f"{authority.url}?{request.rel_url.raw_query_string}", encoded=True)
        body = await request.read()
        forwarded = authority.api.session.request(request.method, url, data=body or None)
        async with forwarded as response:
            return web.Response(
                status=response.status,
                body=await response.read(),
                content_type=response.content_type,
            )

    application = web.Application()
    application.router.add_route("*", "/scep", forward)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/scep"
    finally:
        await runner.cleanup()


_CERTMONGER = """
set -eu
mkdir requests cas local
certmonger -s -n 2>certmonger.log &
trap "kill $!" EXIT
sleep 1  # asking the bus for it before it is there would start another one
getcert add-scep-ca -s -c appliance -u "$URL" -N "$CA"
for _ in $(seq 60); do
    getcert list-cas -s -c appliance | grep -q thumbprint && break
    sleep 0.2
done
getcert request -s -c appliance -I device -k "$PWD/key.pem" -f "$PWD/cert.pem" \
    -N CN=device -L "$CHALLENGE"
for _ in $(seq 100); do
    [ -s cert.pem ] && exit 0
    sleep 0.2
done
getcert list -s
exit 1
"""


async def test_b25_certmonger_enrolls_by_get_with_aes(authority: Authority, tmp_path: Path) -> None:
    program("certmonger")
    command = [program("dbus-run-session"), "--", "bash", "-c", _CERTMONGER]
    folders = {"REQUESTS": "requests", "CAS": "cas", "LOCAL_CA": "local", "CONFIG": "."}
    own = {f"CERTMONGER_{key}_DIR": str(tmp_path / name) for key, name in folders.items()}
    async with plain_relay(authority) as url:
        await run(
            command,
            folder=tmp_path,
            HOME=str(tmp_path),
            CERTMONGER_TMPDIR=str(tmp_path),
            URL=url,
            CA=str(authority.api.server.data / "keys" / "ca.pem"),
            CHALLENGE=await authority.challenge(),
            **own,
        )
    issued(authority, tmp_path / "cert.pem")


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
async def test_b25_strongswan_enrolls(authority: Authority, tmp_path: Path, digest: str) -> None:
    pki = program("pki")
    (tmp_path / "key.pem").write_bytes(key_pem(rsa_key()))
    async with plain_relay(authority) as url:
        scepca = [pki, "--scepca", "--url", url, "--caout", "ca.pem", "--outform", "pem"]
        await run(scepca, folder=tmp_path)
        command = [pki, "--scep", "--url", url, "--in", "key.pem", "--dn", "CN=device"]
        command += ["--password", await authority.challenge(), "--cipher", "des3"]
        command += ["--digest", digest, "--cacert-enc", "ca.pem", "--cacert-sig", "ca.pem"]
        pem = await run([*command, "--outform", "pem"], folder=tmp_path)
    begin = pem.index("-----BEGIN CERTIFICATE")
    (tmp_path / "cert.pem").write_text(pem[begin : pem.index("-----END") + 26])
    issued(authority, tmp_path / "cert.pem")
