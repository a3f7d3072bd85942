"""RFC 8894 messages. Pure: no I/O and no clock."""
