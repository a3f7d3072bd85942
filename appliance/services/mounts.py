"""Which kind of file system a directory is on, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import DataDirectoryUnusable

_MOUNTS = Path("/proc/self/mountinfo")
# SQLite's log needs memory that all processes share and locks that hold: these promise neither.
_NETWORK = {"afs", "ceph", "cifs", "fuse.sshfs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}


def refuse_network(path: Path, mounts: Path = _MOUNTS) -> None:
    """Refuse a directory on a network file system; where nothing is known, let it pass.

    Raises:
        DataDirectoryUnusable: `path` is on NFS, SMB or the like.
    """
    kind = _kind(path, mounts)
    if kind in _NETWORK:
        raise DataDirectoryUnusable(
            f"{path} is on a network file system ({kind})",
            why="locks and syncs may not hold there, and what was answered could be lost",
            fix="use a directory on a disk of this machine",
        )


def _kind(path: Path, mounts: Path) -> str:
    """Return the type of the file system that holds `path`; "" if unknown (proc(5), mountinfo)."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:  # no Linux
        return ""
    longest, kind = -1, ""
    resolved = path.resolve()
    for line in lines:
        about, _, rest = line.partition(" - ")
        point = Path(about.split()[4].replace("\\040", " "))
        # Of two mounts at one place the later hides the earlier.
        if resolved.is_relative_to(point) and len(point.parts) >= longest:
            longest, kind = len(point.parts), rest.split()[0]
    return kind
