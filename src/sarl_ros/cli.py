"""`sarl`: train, evaluate and steer through the ROS graph; make demonstrations, train and evaluate the mini VLA."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from sarl_ros.runs.choices import AGENTS, ON, RunChoices, default_demo_file
from sarl_ros.runs.folder import Interrupted, RunError, RunFolder, create_run, open_run

FAILED = 1
INTERRUPTED = 130
ENUMERATED = ("time",)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        sys.exit(FAILED)
    from sarl_ros.core.task import TaskError
    from sarl_ros.policies.policy import PolicyError
    from sarl_ros.sim.fault_script import ScriptError
    from sarl_ros.store.appendfile import StoreError
    from sarl_ros.store.mcap_file import BagError

    try:
        figures = options.command(options)
    except (RunError, TaskError, ScriptError, PolicyError, BagError, StoreError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except (Interrupted, KeyboardInterrupt) as stopped:
        print(str(stopped) or "stopped; what was recorded is saved")
        sys.exit(INTERRUPTED)
    if figures is not None and getattr(options, "json", None):
        Path(options.json).write_text(json.dumps(figures, indent=2) + "\n")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sarl", description=__doc__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(command=None)

    train = _command(commands, "train", _train, "learn to choose prompts, through the ROS graph")
    for name in ("task", "episodes", "seed", "agent", "preset", "demos", "demo_file", "warm_start"):
        _choice(train, name)
    train.add_argument("--resume", type=Path, metavar="RUN", help="go on with an earlier run's folder")
    train.add_argument(
        "--offline",
        type=Path,
        nargs="+",
        metavar="BAG",
        help="learn from these bags or run folders alone, without a run",
    )
    train.add_argument("--updates", type=_positive, help="with --offline (default: as many as a run would pay for)")
    train.add_argument("--output", type=Path, help="with --offline: the folder to make (default: one under --runs)")
    train.add_argument("--headless", action="store_true", help="in this process, without ROS and without bags")
    _graph_options(train)

    operate = _command(commands, "operate", _operate, "operate a run of this machine by single keys in a terminal")
    operate.add_argument("--run", type=Path, help="its folder (default: the newest that is up)")
    operate.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are (default: runs)")
    operate.add_argument("--domain", type=int, help="ROS domain of a graph that `ros2 launch` started")

    watch = _command(commands, "watch", _watch, "the progress of a run that `ros2 launch` started, until it ends")
    watch.add_argument("run", type=Path, help="its folder")

    evaluate = _command(commands, "eval", _eval, "success on held-out seeds: references, and a run's checkpoints")
    evaluate.add_argument("--task", default="hammer")
    evaluate.add_argument("--episodes", type=_positive, default=20)
    evaluate.add_argument(
        "--agents",
        metavar="NAME,NAME",
        help="references to run, '' for none (default: zero_shot,random, and in the simulator oracle)",
    )
    evaluate.add_argument(
        "--run", type=Path, action="append", default=[], help="a training run to evaluate, may be repeated"
    )
    evaluate.add_argument(
        "--at", default="", metavar="N,N", help="checkpoints of it, by episodes (default: the newest)"
    )
    evaluate.add_argument("--headless", action="store_true", help="without ROS and without bags")
    evaluate.add_argument("--workers", type=_positive, default=1, help="with --headless: so many runs at a time")
    _graph_options(evaluate)

    compare = _command(commands, "compare", _compare, "whether two runs made the same decisions and transitions")
    compare.add_argument("runs", type=Path, nargs=2, metavar="RUN")

    steer = _command(commands, "steer", _steer, "record demonstrations from prompt sequences, on seeds of their own")
    steer.add_argument("--task", default="hammer")
    steer.add_argument(
        "--prompts", type=Path, help="a file with one episode a line, prompts separated by '>' (default: type them)"
    )
    steer.add_argument("--episodes", type=_positive, default=None, help="(default: one a line of the file)")
    steer.add_argument(
        "--run", type=Path, help="record nothing: export the episodes of this run that a person steered to success"
    )
    steer.add_argument("--output", type=Path, help="(default: config/demos/TASK.demos; with --run RUN/steered.demos)")
    _graph_options(steer)

    replay = _command(commands, "replay", _replay, "play recorded episodes, or make a run's replay store from its bags")
    replay.add_argument("bags", type=Path, nargs="*", metavar="BAG", help="run folders, bag folders or .mcap files")
    replay.add_argument("--rate", type=float, default=1.0, help="times the recording's speed (default: 1)")
    replay.add_argument(
        "--start", type=float, default=0.0, metavar="SECONDS", help="leave out so much of the beginning"
    )
    replay.add_argument("--episode", type=_positive, default=0, metavar="N", help="play this episode alone")
    replay.add_argument("--loop", action="store_true", help="begin again at the end")
    replay.add_argument(
        "--console", nargs="?", const="", metavar="HOST:PORT", help="serve the operator's page, until Ctrl-C"
    )
    replay.add_argument("--domain", type=int, metavar="N", help="ROS domain (default: one that nobody uses)")
    replay.add_argument(
        "--rebuild", type=Path, metavar="RUN", help="make RUN's replay store from its bags, or BAG..., and compare it"
    )
    replay.add_argument("--output", type=Path, metavar="FILE", help="write the rebuilt store to FILE")
    replay.add_argument("--restore", action="store_true", help="write the rebuilt store to RUN, whose own is gone")

    report = _command(commands, "analyze", _analyze, "an HTML report of a recorded run, and the tables behind it")
    report.add_argument(
        "bags", type=Path, nargs="+", metavar="RUN_OR_BAGS", help="run folders, bag folders or .mcap files of one run"
    )
    report.add_argument("-o", "--output", type=Path, default=Path("report"), help="folder (default: report)")

    _command(commands, "cameras", _cameras, "list the connected cameras, as config/widowx.yaml names them")

    _mini_vla_commands(commands)
    return parser


def _command(commands, name: str, function, help: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(command=function)
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE as well")
    return parser


def _choice(parser: argparse.ArgumentParser, name: str) -> None:
    """An option for a choice of `RunChoices`, in its words; what it must be is checked there."""
    field = RunChoices.model_fields[name]
    flag, text = f"--{name.replace('_', '-')}", field.description
    if field.annotation is bool:
        parser.add_argument(flag, action="store_true", help=text)
        return
    choices = list(AGENTS) if name == "agent" else list(get_args(field.annotation)) if name in ENUMERATED else None
    shown = f"{text} (default: {field.default})" if field.default not in (None, "") else text
    kind = int if field.annotation in (int, int | None) else Path if field.annotation == Path | None else str
    metavar = None if choices else {int: "N", Path: "PATH"}.get(kind, name.upper())
    parser.add_argument(flag, type=kind, default=field.default, choices=choices, metavar=metavar, help=shown)


def _graph_options(parser: argparse.ArgumentParser) -> None:
    for name in ("robot", "policy", "wide", "time", "fault_script", "operate"):
        _choice(parser, name)
    parser.add_argument(
        "--console",
        nargs="?",
        const="",
        metavar="HOST:PORT",
        help="serve the operator's page (default: 127.0.0.1:8080); wider than this machine it needs a token",
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where run folders are made (default: runs)")
    parser.add_argument(
        "--no-record", dest="record", action="store_false", help="write no bags (default: one an episode, in RUN/bags)"
    )


def _mini_vla_commands(commands) -> None:
    demos = _command(commands, "demos", _demos, "let scripted experts demonstrate atomic skills in the simulator")
    demos.add_argument("--output", type=Path, default=Path("data/demos"))
    demos.add_argument("--episodes", type=_positive, default=3000)
    demos.add_argument("--seed", type=int, default=0)
    train = _command(commands, "vla-train", _vla_train, "train the mini VLA on demonstrations")
    train.add_argument("--demos", type=Path, default=Path("data/demos"))
    train.add_argument("--output", type=Path, default=Path("data/mini"))
    train.add_argument("--seed", type=int, default=0)
    evaluate = _command(
        commands, "vla-eval", _vla_eval, "success of each skill, of the long prompts, and what unseen prompts do"
    )
    evaluate.add_argument("--policy", default="mini")
    evaluate.add_argument("--trials", type=_positive, default=40)
    evaluate.add_argument("--seed", type=int, default=0)
    evaluate.add_argument("--picture", type=Path, help="write a bar chart to this PNG")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return value


def _train(options: argparse.Namespace) -> dict[str, Any]:
    if options.offline:
        return _train_offline(options)
    if options.resume:
        from sarl_ros.runs.resume import resume_run

        return _run(resume_run(options.resume), options.headless)
    settings = choices_of(options).settings()
    return _run(create_run(settings, options.runs), options.headless)


def choices_of(options: argparse.Namespace, **changed: Any) -> RunChoices:
    """The choices that a command's options make; a bag needs the graph."""
    values = {name: value for name, value in vars(options).items() if name in RunChoices.model_fields}
    if values["console"] is not None:
        values["console"] = values["console"] or ON
    values["console"] = values["console"] or ""
    values["record"] = values["record"] and not getattr(options, "headless", False)
    return RunChoices.of({**values, **changed})


def _run(folder: RunFolder, headless: bool) -> dict[str, Any]:
    try:
        return _report(folder, _player(headless)(folder))
    except Interrupted:
        print(f"go on with: sarl train --resume {folder.path}{' --headless' if headless else ''}")
        raise


def _player(headless: bool) -> Callable[[RunFolder], dict[str, Any]]:
    """What plays the run of a folder to its end."""
    if headless:
        from sarl_ros.commands.headless import run_headless

        return run_headless
    from sarl_ros.runs.run import run_graph

    return run_graph


def _operate(options: argparse.Namespace) -> None:
    from sarl_ros.commands.operate import operate

    operate(options.run, options.runs, options.domain)


def _watch(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.runs.run import watch_graph

    folder = open_run(options.run)
    return _report(folder, watch_graph(folder))


def _report(folder: RunFolder, summary: dict[str, Any]) -> dict[str, Any]:
    print(
        f"{summary['successes']} of {summary['episodes']} episodes succeeded during training"
        f" (last 20: {summary['success_last_20']}), {summary['aborted']} aborted;"
        f" {summary['updates']} updates paid, {summary['updates_per_decision']:g} a decision;"
        f" {summary['times_real_time']} times real time,"
        f" {summary['seconds'] / 60:.1f} min"
    )
    if folder.curve.exists():
        print(f"learning curve: {folder.curve}")
    return summary


def _eval(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.runs.evaluation import evaluate
    from sarl_ros.runs.robots import is_simulated

    if options.workers > 1 and not options.headless:
        raise RunError("--workers is for --headless: graphs are played one after the other")
    agents = options.agents
    if agents is None:
        agents = "zero_shot,random,oracle" if is_simulated(options.robot) else "zero_shot,random"
    return evaluate(
        choices_of(options, demos=0).settings(),
        references=[name for name in agents.split(",") if name],
        runs=options.run,
        at=[int(number) for number in options.at.split(",") if number],
        root=options.runs,
        play=_player(options.headless),
        workers=options.workers,
    )


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.commands.compare import compare_runs

    return compare_runs(*options.runs)


def _steer(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.runs.steering import export_steered, read_sequences, steer

    if options.run:
        return export_steered(options.run, options.output or options.run / "steered.demos")
    sequences = read_sequences(options.prompts, options.task)
    settings = choices_of(options, episodes=options.episodes or len(sequences), demos=0).settings()
    return steer(settings, sequences, options.output or default_demo_file(options.task), options.runs)


def _train_offline(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.commands.offline import OfflineSettings, train_offline
    from sarl_ros.runs.folder import unused_folder

    output = options.output or unused_folder(options.runs, f"offline-s{options.seed}")
    return train_offline(OfflineSettings(tuple(options.offline), output, options.preset, options.updates, options.seed))


def _replay(options: argparse.Namespace) -> dict[str, Any]:
    if options.rebuild:
        from sarl_ros.commands.rebuild import rebuild_command

        return rebuild_command(options.rebuild, options.bags, options.output, options.restore)
    if not options.bags:
        raise RunError("nothing to play: name a run folder, bag folders or .mcap files")
    from sarl_ros.commands.replay import ReplaySettings, replay

    return replay(
        ReplaySettings(
            bags=tuple(options.bags),
            rate=options.rate,
            start_s=options.start,
            episode=options.episode,
            loop=options.loop,
            console=options.console,
            domain=options.domain,
        )
    )


def _analyze(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.analysis.analyze import analyze, closing_line

    figures = analyze(options.bags, options.output)
    print(closing_line(figures))
    return figures


def _cameras(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.camera.listing import list_cameras

    return list_cameras()


def _demos(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.training.demonstrations import generate

    return generate(options.output, episodes=options.episodes, seed=options.seed)


def _vla_train(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.training.train import train

    return train(options.demos, options.output, seed=options.seed)


def _vla_eval(options: argparse.Namespace) -> dict[str, Any]:
    from sarl_ros.training.evaluate import evaluate

    return evaluate(options.policy, trials=options.trials, seed=options.seed, picture=options.picture)


if __name__ == "__main__":
    main()
