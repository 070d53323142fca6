"""What each node of the graph can be told: one model a node, free of ROS. The table of them is `runs.parameters`."""
