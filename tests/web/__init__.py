"""Tests of appliance/web."""
