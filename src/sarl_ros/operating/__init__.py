"""Ways to operate a run besides its page: single keys in a terminal, foot pedals and key pads."""
