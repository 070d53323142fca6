"""A run from outside: its folder, its graph of processes, going on after an interruption."""
