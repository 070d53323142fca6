"""What proposes prompts for an image and a task."""
