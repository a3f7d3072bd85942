"""Tests: each folder mirrors a layer of the package; `device` is a second implementation."""
