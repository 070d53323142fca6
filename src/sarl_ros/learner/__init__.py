"""Semantic bookkeeping of a run that learns, the trainer's process, and when updates are due."""
