"""The operator: decides what runs."""
