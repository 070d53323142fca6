"""`sarl steer`: language-steered demonstrations, recorded through the graph on seeds that nothing else uses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from sarl_ros.core import seeds
from sarl_ros.core.prompt_pool import normalise
from sarl_ros.core.task import load_task
from sarl_ros.core.yaml_file import YamlError, read_text
from sarl_ros.runs.folder import RunError, RunSettings, create_run, open_run
from sarl_ros.runs.run import run_graph
from sarl_ros.store.sealed_text import write_sealed


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


def read_sequences(prompts: Path | None, task: str) -> list[list[str]]:
    """Prompt sequences of a file, or typed where there is none.

    Raises:
        RunError: a prompt is unusable, or there is no episode.
    """
    if prompts is not None:
        try:
            return parse_sequences(read_text(prompts, "file of prompts"), str(prompts))
        except YamlError as error:
            raise RunError(str(error)) from None
    print(f"{load_task(task).instruction}\nOne episode a line, prompts separated by '>'; an empty line ends.")
    return parse_sequences("\n".join(iter(sys.stdin.readline, "\n")), "standard input")


def steer(settings: RunSettings, sequences: list[list[str]], output: Path, root: Path) -> dict[str, Any]:
    """Run the prompt sequences as episodes and export the successful ones as a demonstration file.

    Args:
        settings: of the graph; agent and seeds are filled in here.
        sequences: prompts an episode, taken in turn.
        output: demonstration file to write.

    Raises:
        RunError: no episode succeeded.
    """
    from sarl_ros.records.demonstrations import export_demonstrations

    settings = replace(settings, agent="steer", seed_base=seeds.STEERING)
    folder = create_run(settings, root)
    script = folder.path / "prompts.txt"
    write_sealed(script, "\n".join(" > ".join(sequence) for sequence in sequences) + "\n")
    folder.set("sarl_learner", "prompts", str(script))
    summary = run_graph(folder)
    count = export_demonstrations(folder.path, output, task=settings.task, weights_hash=settings.weights_hash)
    if not count:
        raise RunError(f"no episode of {folder.path} succeeded: nothing to export; try other prompts")
    print(f"{count} demonstrations of {summary['episodes']} episodes written to {output}")
    return summary | {"demonstrations": count, "output": str(output)}


def export_steered(run: Path, output: Path) -> dict[str, Any]:
    """Export the successful episodes of an earlier run that a person steered throughout, as a demonstration file.

    Raises:
        RunError: it is no run folder, or has no such episode.
    """
    from sarl_ros.policies.registry import identity
    from sarl_ros.records.demonstrations import export_demonstrations

    folder = open_run(run)
    task = str(folder.setting("sarl_learner", "task"))
    weights_hash = identity(folder.setting("vla_executor", "policy"))
    count = export_demonstrations(folder.path, output, task=task, weights_hash=weights_hash)
    if not count:
        raise RunError(
            f"{run}: no episode was steered by a person from its first step to its success: nothing to export"
        )
    print(f"{count} steered episodes of {folder.path} written to {output}")
    return {"run": str(folder.path), "demonstrations": count, "output": str(output)}
