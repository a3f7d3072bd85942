"""Opening a page in the browser of whoever runs the command."""

from __future__ import annotations

import os
import sys
import webbrowser


def open_browser(url: str) -> bool:
    """Open `url` if a person with a desktop sits here; tell whether a browser was started.

    Neither over SSH, nor for root, nor where only a text browser would take the terminal.
    """
    desktop = sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if not desktop or "SSH_CONNECTION" in os.environ or os.geteuid() == 0:
        return False
    return webbrowser.open(url)
