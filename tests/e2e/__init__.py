"""Stories: devices and programs against a running server."""
