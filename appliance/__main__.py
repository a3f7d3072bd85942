"""Entry for `python -m appliance` and for the executable."""

from appliance import onefile
from appliance.cli import main

if __name__ == "__main__":
    onefile.settle()
    main()
