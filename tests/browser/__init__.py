"""The page as a person uses it: a real browser, a real server, simulated devices."""
