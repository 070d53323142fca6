"""Prompts by rules over what a perception sees: a stand-in for a vision-language model."""
