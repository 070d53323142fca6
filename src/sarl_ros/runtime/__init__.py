"""The graph's twin: steps, episodes and runs without ROS."""
