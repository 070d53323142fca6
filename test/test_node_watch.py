"""What heartbeats tell: who is missing and why, and who beats on without being able to do its part."""

from sarl_ros.core.node_watch import NodeWatch

LOST = "no frame came for 2 s"


def watch_with(ready: bool, faults: tuple[str, ...] = ()) -> NodeWatch:
    watch = NodeWatch(["camera_front", "operator_fake"])
    watch.heartbeat("camera_front", "first", True, 0.0)
    watch.heartbeat("camera_front", "first", ready, 0.2, faults)
    return watch


def test_a_required_node_that_beats_and_is_not_ready_is_told_with_its_fault():
    assert watch_with(False, (LOST,)).unready() == [("camera_front", f"is not ready: {LOST}")]
    assert watch_with(True).unready() == []


def test_a_node_that_was_never_there_or_is_silent_is_not_called_unready():
    watch = watch_with(False, (LOST,))
    for now_s in (1.0, 2.0, 3.0, 4.0):
        watch.silent(now_s)
    assert watch.unready() == []
    assert watch.missing() == ["camera_front", "operator_fake"]


def test_missing_nodes_are_named_with_what_they_told():
    assert watch_with(False, (LOST,)).missing_words() == f"camera_front ({LOST}), operator_fake"
    assert watch_with(True).missing_words() == "operator_fake"
