"""Background jobs: supervised, bounded, repeated; they find their work in the store."""
