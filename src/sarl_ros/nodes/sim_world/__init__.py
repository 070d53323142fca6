"""The simulated robot and table, which speak as their drivers do."""
