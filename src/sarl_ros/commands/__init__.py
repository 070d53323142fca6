"""One file a verb of `sarl`."""
