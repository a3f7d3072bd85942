"""Apple's MDM protocol as dataclasses: check-in, commands, profiles. Pure: no I/O and no clock."""
