"""Load generator, peers and table behind `scripts/bench`."""
