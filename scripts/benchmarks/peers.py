"""The servers under measurement, each pinned to one core: ours, NanoMDM, nginx, scepserver."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .load import Address, BenchError

SERVER_CORE, LOAD_CORE = 0, 1
API_KEY = "benchmark"
OURS = "appliance"
_START_SECONDS = 20
_STOP_SECONDS = 6
_TICKS = os.sysconf("SC_CLK_TCK")

_NGINX = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log; pid {folder}/pid;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 1000000; client_body_buffer_size 64k; client_max_body_size 4m;
  upstream mdm {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/tls.pem;
    ssl_certificate_key {folder}/tls.key; ssl_protocols TLSv1.3;
    location / {{
      proxy_pass http://mdm; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server; `processes`, and their children, are what it costs processor time."""

    name: str
    address: Address
    processes: tuple[int, ...]
    authorization: str = ""

    def processor_seconds(self) -> float:
        """User and system time used so far."""
        ticks = 0
        for pid in self._family():
            with contextlib.suppress(OSError):  # it has just ended, and counts with its parent
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))  # its own, and of children that have ended
        return ticks / _TICKS

    def _family(self) -> list[int]:
        family = list(self.processes)
        for pid in family:  # grows while it is walked
            with contextlib.suppress(OSError):
                family += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return family

    def resident_mb(self) -> float:
        """Resident memory of all processes."""
        kilobytes = 0
        for pid in self.processes:
            status = Path(f"/proc/{pid}/status").read_text()
            kilobytes += int(status.partition("VmRSS:")[2].split()[0])
        return kilobytes / 1024


def find_program(name: str) -> str | None:
    """The path of a Go or system program: GO_BIN, this checkout, PATH."""
    for folder in (os.environ.get("GO_BIN"), ".go/bin"):
        if folder and os.access(Path(folder, name), os.X_OK):
            return str(Path(folder, name).absolute())
    return shutil.which(name)


def install(package: str) -> None:
    """Install a package of Debian where that is possible; whoever needs it looks whether it is."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        options = ["-y", "-qq", "--no-install-recommends"]
        subprocess.run(["apt-get", "install", *options, package], stdout=subprocess.DEVNULL)


def free_port() -> int:
    """A loopback port that nothing uses now, outside the range that clients are given."""
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def started(
    arguments: list[str], port: int, folder: Path, *, core: int = SERVER_CORE
) -> Iterator[int]:
    """Run a server on one core until the block ends; yields its process id."""
    log = folder / "output.log"
    pinned = ["taskset", "-c", str(core), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(pinned, stdout=output, stderr=output, cwd=_root())
    try:
        _wait_until_listening(process, port, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _output(arguments: list[str]) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=_root())
    if done.returncode:
        raise BenchError(f"{arguments!r} failed:\n{done.stderr}")
    return done.stdout


def _root() -> Path:
    return Path(__file__).resolve().parents[2]


def _wait_until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise BenchError(f"{process.args!r} did not start:\n{log.read_text()[-2000:]}")


@contextlib.contextmanager
def appliance(folder: Path, topic: str) -> Iterator[Server]:
    """Ours, freshly initialised, with a lab topic in place of a push certificate."""
    port, data = free_port(), folder / "data"
    program = [sys.executable, "-m", "appliance"]
    options = ["--data", str(data)]
    init = ["init", *options, "--url", f"https://localhost:{port}"]
    _output([*program, *init])
    with (data / "appliance.toml").open("a") as settings:
        settings.write(f'\n[enroll]\nlab_topic = "{topic}"\n')
    create = ["token", "create", "bench", "--scope", "read", "--scope", "write", *options]
    token = _output([*program, *create]).split()[-1]
    context = ssl.create_default_context(cafile=str(data / "keys" / "root.pem"))
    serve = [*program, "serve", *options, "--listen", f"127.0.0.1:{port}"]
    with started(serve, port, folder) as pid:
        yield Server(
            name=OURS,
            address=Address(port=port, context=context),
            processes=(pid,),
            authorization=f"Bearer {token}",
        )


@contextlib.contextmanager
def nanomdm(
    program: str,
    folder: Path,
    ca: Path,
    storage: str,
    *,
    dsn: str = "",
    database: int | None = None,
) -> Iterator[Server]:
    """NanoMDM over plain HTTP with one of its stores: `inmem`, `pgsql`, or `filekv`, its default.

    Args:
        dsn: where the store is, if not in `folder`.
        database: the process whose work for the store counts as well.
    """
    port = free_port()
    arguments = [program, "-listen", f"127.0.0.1:{port}", "-ca", str(ca), "-api", API_KEY]
    arguments += ["-storage", storage, "-storage-dsn", dsn or str(folder / "store")]
    basic = base64.b64encode(f"nanomdm:{API_KEY}".encode()).decode()
    with started(arguments, port, folder) as pid:
        yield Server(
            name=f"NanoMDM {storage}",
            address=Address(port=port),
            processes=(pid,) if database is None else (pid, database),
            authorization=f"Basic {basic}",
        )


@contextlib.contextmanager
def nginx(program: str, folder: Path, upstream: Server) -> Iterator[Server]:
    """The same NanoMDM behind nginx with TLS, both on one core."""
    port = free_port()
    _self_signed_tls(folder)
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _NGINX.format(folder=folder, port=port, upstream=upstream.address.port)
    )
    context = ssl.create_default_context(cafile=str(folder / "tls.pem"))
    arguments = [program, "-c", str(configuration), "-e", str(folder / "error.log")]
    with started(arguments, port, folder) as pid:
        yield Server(
            name="nginx + " + upstream.name,
            address=Address(port=port, context=context),
            processes=(pid, *upstream.processes),
            authorization=upstream.authorization,
        )


def _self_signed_tls(folder: Path) -> None:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.pem")]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    _output(["openssl", "req", "-x509", *curve, *files, *name])


@contextlib.contextmanager
def scepserver(program: str, folder: Path) -> Iterator[Server]:
    """micromdm/scep with its file depot and an RSA-2048 authority, as ours has."""
    port, depot = free_port(), folder / "depot"
    _output([program, "ca", "-init", "-depot", str(depot), "-keySize", "2048"])
    arguments = [program, "-depot", str(depot), "-challenge", API_KEY]
    with started([*arguments, "-http-addr", f"127.0.0.1:{port}"], port, folder) as pid:
        yield Server(name="micromdm/scep", address=Address(port=port), processes=(pid,))


@contextlib.contextmanager
def trivial(folder: Path) -> Iterator[Server]:
    """A server that answers anything with an empty 200: what the generator itself can reach."""
    port = free_port()
    _self_signed_tls(folder)
    context = ssl.create_default_context(cafile=str(folder / "tls.pem"))
    script = Path(__file__).with_name("trivial.py")
    arguments = [sys.executable, str(script), str(port), str(folder)]
    with started(arguments, port, folder) as pid:
        address = Address(port=port, context=context)
        yield Server(name="trivial server", address=address, processes=(pid,))
