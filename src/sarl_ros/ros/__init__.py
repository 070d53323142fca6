"""What nodes and clients share of ROS: node base, topic names, conversion, the boundary where messages are checked."""
