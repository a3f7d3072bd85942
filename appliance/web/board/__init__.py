"""The board: the page of an administrator, one module a section."""
