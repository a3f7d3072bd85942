"""The store: SQLite, one writer with group commit, SQL beside the function that runs it.

Each module is one noun. Its functions take the connection of a unit of work, never commit,
and are named for the protocol event; `services/` composes them into one `Database.write`.
"""
