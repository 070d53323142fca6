"""What chooses prompts, and learns to: one file or folder a method."""
