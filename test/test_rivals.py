"""A second sender on the arm's wire is told of once it lasts; what a killed process leaves behind is not."""

from widowx_bridge.rivals import LASTING_S, REMNANT_S, Rivals

TOPIC = "/wx250s/joint_states"


def rivals():
    senders: dict[str, list[str]] = {TOPIC: ["xs_sdk"]}
    return senders, Rivals([TOPIC], senders.__getitem__)


def test_a_second_node_that_sends_is_named_after_a_moment_and_until_it_is_gone():
    senders, watch = rivals()
    assert watch.check(0.0) is None
    senders[TOPIC] = ["xs_sdk", "sim_world"]
    assert watch.check(1.0) is None
    assert "2 senders (sim_world, xs_sdk)" in watch.check(1.0 + LASTING_S)
    senders[TOPIC] = ["xs_sdk"]
    assert watch.check(4.0) is None
    senders[TOPIC] = ["xs_sdk", "sim_world"]
    assert watch.check(4.1) is None


def test_what_a_killed_node_leaves_beside_its_successor_is_no_rival_but_a_namesake_that_stays_is():
    senders, watch = rivals()
    senders[TOPIC] = ["sim_world", "sim_world"]
    watch.check(0.0)
    assert watch.check(REMNANT_S - 1.0) is None
    assert "sim_world, sim_world" in watch.check(REMNANT_S)
