"""The semantic MDP: what a step, an episode and a transition are. Nothing here knows ROS."""
