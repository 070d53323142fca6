"""Thin ROS 2 nodes: parameters, topics, one call into the core."""
