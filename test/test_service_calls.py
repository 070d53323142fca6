"""The operator's calls to the arm: what a stop overtakes, and what does not overtake a stop."""

from __future__ import annotations

from types import SimpleNamespace

from rclpy.task import Future

from sarl_ros.nodes.operator.service_calls import ServiceCalls


class FakeClient:
    """A service whose calls are answered when the test says so."""

    srv_name = "/arm"
    srv_type = SimpleNamespace(Request=SimpleNamespace)

    def __init__(self) -> None:
        self.there = True
        self.calls: list[Future] = []

    def service_is_ready(self) -> bool:
        return self.there

    def call_async(self, _: object) -> Future:
        self.calls.append(Future())
        return self.calls[-1]

    def remove_pending_request(self, future: Future) -> None:
        future.cancel()

    def answer(self) -> None:
        self.calls[-1].set_result(SimpleNamespace(success=True, message=""))


class Bench:
    def __init__(self) -> None:
        self.stop, self.pause, self.resume, self.reset = (FakeClient() for _ in range(4))
        self.calls = ServiceCalls(
            self.stop,
            self.pause,
            self.resume,
            self.reset,
            None,
            wake=lambda: None,
            is_up=lambda node: True,
            on_reset=lambda attempt, failure: None,
            on_refused=lambda reason: None,
            faults={},
        )


def test_a_pause_takes_the_place_of_no_stop_that_the_arm_has_not_answered():
    for there in (True, False):
        bench = Bench()
        bench.stop.there = there
        bench.calls.stop()
        bench.calls.pause()
        bench.stop.there = True
        bench.calls.advance()
        assert len(bench.stop.calls) == 1
        assert not bench.pause.calls
        bench.stop.answer()
        bench.calls.advance()
        assert not bench.calls.stopping
        bench.calls.pause()
        assert len(bench.pause.calls) == 1


def test_a_stop_overtakes_a_reset_and_a_resume_that_is_under_way():
    bench = Bench()
    bench.calls.resume()
    bench.calls.reset(1, None, again=False)
    bench.calls.stop()
    bench.stop.answer()
    bench.calls.advance()
    assert bench.resume.calls[0].cancelled()
    assert not bench.reset.calls
