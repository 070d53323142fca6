"""File formats: replay store, journal, checkpoints, bags."""
