"""The frozen executable: runs with APPLIANCE_EXECUTABLE=dist/appliance alone."""
