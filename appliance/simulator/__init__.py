"""Simulated Apple devices and a loopback APNs: they work against any MDM server.

Imports nothing else of `appliance`, so that it stays a second, independent implementation.
"""
