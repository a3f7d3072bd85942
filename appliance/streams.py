"""The three standard streams, which a process may have been started without."""

from __future__ import annotations

import os
import sys


def open_missing() -> None:
    """Give the process `/dev/null` for each standard stream that it was started without.

    Else the next file that it opens takes the number: uvloop ends over that, and what is
    written to stderr would go into the database.
    """
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            stream = open(descriptor, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
