"""Entry for `python -m appliance` and for the executable."""

from appliance import frozen
from appliance.cli import main

if __name__ == "__main__":
    frozen.settle()
    main()
