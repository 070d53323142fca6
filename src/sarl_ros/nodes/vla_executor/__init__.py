"""The executor: runs prompts."""
