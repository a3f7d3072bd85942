"""The server under load: fleets that come back at once, for a long time, or very slowly."""
