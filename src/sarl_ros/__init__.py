"""Semantic Action RL (SARL) for a frozen vision-language-action model on a WidowX 250 S, as a ROS 2 graph."""
