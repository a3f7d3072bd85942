"""The page in a real browser, clicked as a person does."""
