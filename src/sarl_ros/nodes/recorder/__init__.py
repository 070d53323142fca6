"""The recorder: one bag an episode."""
