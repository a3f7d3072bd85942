"""Entry for the command `appliance`, for `python -m appliance` and for the executable."""

from typing import NoReturn

from appliance import frozen, streams
from appliance.cli import main as command_line


def main() -> NoReturn:
    """Run one command and end the process with its exit status."""
    streams.open_missing()  # before anything else opens a file
    frozen.settle()
    command_line()


if __name__ == "__main__":
    main()
