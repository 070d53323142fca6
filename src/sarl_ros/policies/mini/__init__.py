"""The mini VLA: a small language-conditioned flow policy whose weights are shipped."""
