"""What the server must survive; tests bear the identifiers of the threat table."""
