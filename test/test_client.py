"""The scripting client: which episodes have ended, what a time-out says, and a whole run by the example of the docs."""

import re
from pathlib import Path

import pytest
from graph_tools import finish, make_run, start, wait_running, without_page

from sarl_ros.client import Graph, GraphError, GraphTimeout
from sarl_ros.core.types import EpisodeState, StepKey
from sarl_ros.operating.graph_view import Answer, EpisodeLog, GraphView
from sarl_ros.runs.domains import claim_domain

DOCS = Path(__file__).resolve().parents[1] / "docs"


def view(state, episode=1, step=0):
    return GraphView(run="r", state=state, episode=episode, step=step)


def test_an_episode_that_ended_is_given_once_with_the_prompts_of_its_finished_steps():
    log = EpisodeLog()
    log.episode(view(EpisodeState.READY), 1.0)
    log.episode(view(EpisodeState.RUNNING), 2.0)
    log.prompt(StepKey("r", 1, 2), "lift.")
    log.prompt(StepKey("r", 1, 3), "never finished.")
    log.episode(view(EpisodeState.SUCCESS, step=2), 5.5)
    log.episode(view(EpisodeState.SUCCESS, step=2), 6.0)
    assert log.has_ended
    assert not log.is_whole
    log.prompt(StepKey("r", 1, 1), "grasp.")
    assert log.is_whole
    ended = log.take()
    assert (ended.outcome, ended.steps, ended.prompts, ended.seconds) == (
        EpisodeState.SUCCESS,
        2,
        ("grasp.", "lift."),
        3.5,
    )
    assert not log.has_ended


def test_an_end_that_is_heard_first_is_old_and_an_episode_joined_midway_has_no_duration():
    log = EpisodeLog()
    log.episode(view(EpisodeState.FAILURE), 1.0)
    assert not log.has_ended
    log = EpisodeLog()
    log.episode(view(EpisodeState.RUNNING, 4), 1.0)
    log.episode(view(EpisodeState.TIMEOUT, 4), 2.0)
    assert log.take().seconds is None


def test_a_refusal_reads_as_one_and_an_absence_does_not():
    assert str(Answer(False, "not in IDLE")) == "no: not in IDLE"
    assert str(Answer(False, "the operator is not there", reached=False, sent=False)) == "the operator is not there"


def test_a_graph_that_is_not_open_or_not_there_says_so():
    with pytest.raises(GraphError, match="not open"):
        Graph().press("start")
    domain, claim = claim_domain(wanted="")
    with claim, Graph(domain) as graph, Graph(domain) as other:
        with pytest.raises(GraphTimeout, match="the operator is not heard"):
            graph.wait_ready(0.2)
        with pytest.raises(GraphTimeout, match="the operator is not there"):
            other.press("start", 0.3)
        with pytest.raises(ValueError, match="jump"):
            graph.press("jump")


@pytest.mark.timeout(300)
def test_the_example_of_the_docs_operates_a_run_of_two_episodes(tmp_path, capsys):
    folder = make_run(tmp_path, episodes=2, operate=True)
    without_page(folder)
    process = start(folder)
    try:
        wait_running(folder, process)
        example = re.search("```python\n(.*?)```", (DOCS / "scripting.md").read_text(), re.DOTALL)
        exec(example[1], {"RUN": folder.path})
        output = finish(process, 60)
        assert process.returncode == 0, output
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if "FAILURE" in line]
    assert lines == [["1", "FAILURE"], ["2", "FAILURE"]]
