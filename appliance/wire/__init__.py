"""Bytes on the wire: plists, CMS, certificates. Pure: no I/O and no clock."""
