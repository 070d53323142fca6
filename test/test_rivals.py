"""A second sender on the arm's wire is told of once it lasts; what a killed process leaves behind is not."""

from widowx_bridge.rivals import LASTING_S, REMNANT_S, UNNAMED, Rivals

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


def test_a_second_node_counts_at_once_where_what_came_does_not_fit_and_a_remnant_does_not():
    senders, watch = rivals()
    watch.suspect()
    assert watch.check(0.0) is None
    senders[TOPIC] = ["sim_world", "sim_world"]
    watch.suspect()
    assert watch.check(1.0) is None
    assert watch.several()
    senders[TOPIC] = ["sim_world", UNNAMED]
    assert watch.check(1.1) is None, "a successor that has only just come"
    senders[TOPIC] = ["sim_world", "intruder"]
    assert "2 senders (intruder, sim_world)" in watch.check(1.2)
    assert watch.check(1.3) is not None
    senders[TOPIC] = ["sim_world"]
    assert watch.check(1.4) is None
    assert not watch.several()
