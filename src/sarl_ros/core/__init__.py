"""The semantic MDP, in which an action is a prompt: values and rules. Nothing here knows ROS, torch or a simulator."""
