"""Push, against a test APNs over real TLS and HTTP/2."""
