"""`sarl steer`: language-steered demonstrations, recorded through the graph on seeds that nothing else uses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sarl_ros import seeds
from sarl_ros.run import run_graph
from sarl_ros.run_folder import RunError, RunSettings, create_run, open_run
from sarl_ros.semantic.pool import normalise
from sarl_ros.sim.tasks import load_task


def parse_sequences(text: str, source: str) -> list[list[str]]:
    """One episode a line, prompts separated by '>'; empty lines and lines that begin with '#' are skipped.

    Raises:
        RunError: a prompt is unusable, or there is no episode.
    """
    sequences = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            sequences.append([normalise(prompt) for prompt in line.split(">")])
        except ValueError as error:
            raise RunError(f"{source}, line {number}: {error}") from error
    if not sequences:
        raise RunError(f"{source}: no prompts; write one episode a line, prompts separated by '>'")
    return sequences


def steer(
    task: str, prompts: Path | None, episodes: int | None, output: Path, root: Path, policy: str, record: bool = True
) -> dict[str, Any]:
    """Run the prompt sequences as episodes and export the successful ones as a demonstration file.

    Args:
        prompts: file of sequences; None reads them from standard input.
        episodes: how many to run; sequences are taken in turn.
        output: demonstration file to write.
        record: write a bag an episode.

    Raises:
        RunError: no prompts, or no episode succeeded.
    """
    from sarl_ros.store.demonstrations import export_demonstrations
    from sarl_ros.vla.policy import weights_hash

    if prompts is None:
        print(f"{load_task(task).instruction}\nOne episode a line, prompts separated by '>'; an empty line ends.")
        text, source = "\n".join(iter(sys.stdin.readline, "\n")), "standard input"
    else:
        text, source = prompts.read_text(), str(prompts)
    sequences = parse_sequences(text, source)
    settings = RunSettings(
        task=task,
        episodes=episodes or len(sequences),
        agent="steer",
        seed_base=seeds.STEERING,
        policy=policy,
        weights_hash=weights_hash(policy),
        record=record,
    )
    folder = create_run(settings, root)
    script = folder.path / "prompts.txt"
    script.write_text("\n".join(" > ".join(sequence) for sequence in sequences) + "\n")
    folder.set("sarl_learner", "prompts", str(script))
    summary = run_graph(folder)
    count = export_demonstrations(folder.path, output, task=task, weights_hash=settings.weights_hash)
    if not count:
        raise RunError(f"no episode of {folder.path} succeeded: nothing to export; try other prompts")
    print(f"{count} demonstrations of {summary['episodes']} episodes written to {output}")
    return summary | {"demonstrations": count, "output": str(output)}


def export_steered(run: Path, output: Path) -> dict[str, Any]:
    """Export the successful episodes of an earlier run that a person steered throughout, as a demonstration file.

    Raises:
        RunError: it is no run folder, or has no such episode.
    """
    from sarl_ros.store.demonstrations import export_demonstrations
    from sarl_ros.vla.policy import load_policy

    folder = open_run(run)
    task = str(folder.setting("sarl_learner", "task"))
    weights_hash = load_policy(folder.setting("vla_executor", "policy")).weights_hash
    count = export_demonstrations(folder.path, output, task=task, weights_hash=weights_hash)
    if not count:
        raise RunError(
            f"{run}: no episode was steered by a person from its first step to its success: nothing to export"
        )
    print(f"{count} steered episodes of {folder.path} written to {output}")
    return {"run": str(folder.path), "demonstrations": count, "output": str(output)}
