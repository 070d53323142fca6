"""Cameras that a lab can trust: sources behind one protocol, each in a child process that may hang and be killed.

    types.py      settings, frames, descriptions, errors
    source.py     the protocol, and the choice of a back-end
    realsense.py  RealSense cameras by serial, and recordings that the SDK plays
    video.py      UVC cameras and video files through OpenCV
    freshness.py  which frames are new
    channel.py    frames from the child to the node through shared memory
    child.py      the process that holds the SDK
    camera.py     starts the child, watches it, kills it, starts it again

Nothing here imports rclpy; `sarl_ros.nodes.camera` is the node.
"""
