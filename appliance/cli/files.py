"""Files that a command is given; an error names the file, never what it holds."""

from __future__ import annotations

from pathlib import Path

import click


def read_text(file: Path) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Raises:
        click.BadParameter: it is no text in UTF-8.
    """
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        # Its cause holds the whole file, which may be a secret: it goes no further.
        raise click.BadParameter(f"{file} is not text in UTF-8") from None
