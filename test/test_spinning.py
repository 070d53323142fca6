"""The thread that serves callbacks: what it leaves behind when it stops, and what it does with an error."""

import threading

import pytest
import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from sarl_ros.ros.spinning import SpinThread
from sarl_ros.runs.domains import claim_domain

WAIT_S = 20.0


@pytest.fixture
def node():
    domain, claim = claim_domain(wanted="")
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
    made = rclpy.create_node("spun", context=context)
    yield made
    made.destroy_node()
    context.try_shutdown()
    claim.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_stopping_waits_for_the_callback_that_runs_and_leaves_no_thread(node, threads):
    before = set(threading.enumerate())
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def callback():
        begun.set()
        go_on.wait(WAIT_S)
        ended.set()

    node.create_timer(0.01, callback)
    one = threads == 1
    executor = SingleThreadedExecutor(context=node.context) if one else MultiThreadedExecutor(3, context=node.context)
    spinner = SpinThread(executor, node)
    assert begun.wait(WAIT_S)
    threading.Timer(0.2, go_on.set).start()
    spinner.stop(WAIT_S)
    assert ended.is_set()
    assert not spinner.alive
    assert not {thread for thread in set(threading.enumerate()) - before if not isinstance(thread, threading.Timer)}


def test_a_callback_that_does_not_end_holds_stop_up_no_longer_than_asked(node):
    begun, go_on = threading.Event(), threading.Event()
    node.create_timer(0.01, lambda: (begun.set(), go_on.wait(WAIT_S)))
    spinner = SpinThread(SingleThreadedExecutor(context=node.context), node)
    assert begun.wait(WAIT_S)
    spinner.stop(0.1)
    assert spinner.alive
    go_on.set()
    spinner.stop(WAIT_S)
    assert not spinner.alive


def test_what_a_callback_raises_is_told_and_ends_the_thread(node):
    told, heard = [], threading.Event()

    def fail():
        raise ValueError("a bug")

    node.create_timer(0.01, fail)
    spinner = SpinThread(
        SingleThreadedExecutor(context=node.context), node, lambda error: (told.append(str(error)), heard.set())
    )
    assert heard.wait(WAIT_S)
    spinner.stop(WAIT_S)
    assert told == ["a bug"]
    assert not spinner.alive
