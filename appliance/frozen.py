"""What the frozen executable needs of its surroundings, before anything else runs.

PyInstaller's loader unpacks the one file into `$TMPDIR/_MEI<its pid in hexadecimal><random>`; the
program runs from there as the loader's child, and the loader removes the folder when the child has
ended. Nobody does so after a `kill -9` of the loader, and cleaners of /tmp take what is days old
from under a running server.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import ssl
import sys
from pathlib import Path

from appliance import resources

_FOLDER = re.compile(r"_MEI([0-9a-f]{8}).{6}")
_SET_PARENT_DEATH_SIGNAL = 1  # prctl(2)
_TRUST_ANCHORS = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS
)


def settle() -> None:
    """Find the machine's trust anchors, hold the unpacked files, remove those of dead processes.

    Does nothing when run from source.
    """
    if not resources.frozen():
        return
    _find_trust_anchors()
    folder = Path(getattr(sys, "_MEIPASS", ""))
    if _FOLDER.fullmatch(folder.name):
        hold(folder)
        _end_with_parent()
        remove_leftovers(folder.parent)


def hold(folder: Path) -> int:
    """Lock `folder` for the life of this process, and return the lock's descriptor.

    systemd-tmpfiles passes over what is locked, and so does `remove_leftovers`.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def remove_leftovers(place: Path) -> None:
    """Remove what dead processes of this program and this user have left in `place`."""
    for folder in place.glob("_MEI*"):
        match = _FOLDER.fullmatch(folder.name)
        if match and not _is_alive(int(match[1], 16)) and _is_ours(folder) and _is_free(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _find_trust_anchors() -> None:
    """Lead OpenSSL to the machine's trust anchors; it looks where the building machine has its."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and not (paths.capath and any(Path(paths.capath).iterdir())):
        for bundle in _TRUST_ANCHORS:
            if Path(bundle).is_file():
                os.environ.setdefault("SSL_CERT_FILE", bundle)
                return


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        pass
    return True


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:  # it went in the meantime
        return False
    return status.st_uid == os.geteuid() and (folder / "appliance" / "mdm").is_dir()


def _is_free(folder: Path) -> bool:
    """Tell whether nobody holds `folder`; a process in another container has no pid here."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _end_with_parent() -> None:
    """Die as the parent dies: `kill -9` of the loader must not leave a server that nobody sees."""
    if sys.platform == "linux":
        import ctypes

        parent = os.getppid()
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)
