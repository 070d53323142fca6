"""The scripting client: operate a graph from Python, see `Graph`."""

from sarl_ros.client.graph import Graph, GraphError, GraphTimeout, Refused

__all__ = ["Graph", "GraphError", "GraphTimeout", "Refused"]
