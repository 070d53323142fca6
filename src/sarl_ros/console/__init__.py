"""The operator's console: what its page shows, who may press what, and the page. Knows nothing of ROS."""
