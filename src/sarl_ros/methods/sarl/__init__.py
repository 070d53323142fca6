"""Semantic Action RL (arXiv 2606.31958): a critic over (state, prompt), softmax of its values, TD backups."""
