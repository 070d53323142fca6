"""Driver of the Interbotix WidowX 250 S: kinematics, BridgeData action semantics, safety, and the xs_sdk client."""

from pathlib import Path

WX250S_XML = Path(__file__).with_name("wx250s.xml")
