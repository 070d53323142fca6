"""`sarl replay`: recorded episodes in a graph of their own, where the console shows them as it did live.

With --rebuild it plays nothing: it makes a run's replay store again from its bags.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarl_ros.commands.options import output_file, positive
from sarl_ros.console.address import parse_address
from sarl_ros.core.paths import config_dir
from sarl_ros.core.yaml_file import YamlError
from sarl_ros.runs import bringup
from sarl_ros.runs.domains import own_domain
from sarl_ros.runs.folder import Interrupted, RunError, RunFolder, check_environment
from sarl_ros.runs.parameters import checked

if TYPE_CHECKING:
    from sarl_ros.nodes.bag_player import BagPlayer
    from sarl_ros.runs.supervisor import Supervisor

HELP = "play recorded episodes, or make a run's replay store from its bags"
MODES = {"rebuild": {"bags", "output", "restore"}}
NEEDS = {"output": "rebuild", "restore": "rebuild"}
LIVE_LINE_S = 0.5
CONSOLE_WAIT_S = 20.0
LISTENER_WAIT_S = 8.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bags", type=Path, nargs="*", metavar="BAG", help="run folders, bag folders or .mcap files")
    parser.add_argument("--rate", type=float, default=1.0, help="times the recording's speed (default: 1)")
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="SECONDS", help="leave out so much of the beginning"
    )
    parser.add_argument("--episode", type=positive, default=0, metavar="N", help="play this episode alone")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    parser.add_argument(
        "--console", nargs="?", const="", metavar="HOST:PORT", help="serve the operator's page, until Ctrl-C"
    )
    parser.add_argument("--domain", type=int, metavar="N", help="ROS domain (default: one that nobody uses)")
    parser.add_argument(
        "--rebuild", type=Path, metavar="RUN", help="make RUN's replay store from its bags, or BAG..., and compare it"
    )
    parser.add_argument("--output", type=output_file, metavar="FILE", help="write the rebuilt store to FILE")
    parser.add_argument("--restore", action="store_true", help="write the rebuilt store to RUN, whose own is gone")


def run(options: argparse.Namespace) -> dict[str, Any]:
    if options.rebuild:
        from sarl_ros.runs.rebuild import rebuild_command

        return rebuild_command(options.rebuild, options.bags, options.output, options.restore)
    if not options.bags:
        raise RunError("nothing to play: name a run folder, bag folders or .mcap files")
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


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What is played, and how.

    Attributes:
        bags: run folders, bag folders or .mcap files.
        rate: times the recording's speed.
        start_s: seconds of the recording to leave out.
        episode: play this one alone; 0 for all.
        loop: begin again at the end.
        console: HOST:PORT to serve the operator's page on until Ctrl-C, empty for the usual one, None for no page.
        domain: ROS domain; None for one that nobody uses.
    """

    bags: tuple[Path, ...]
    rate: float = 1.0
    start_s: float = 0.0
    episode: int = 0
    loop: bool = False
    console: str | None = None
    domain: int | None = None


def make_session(settings: ReplaySettings, folder: Path) -> RunFolder:
    """Make `folder` a replay's: a parameter file for the player, and one for the console if it is wanted.

    Raises:
        RunError: the folder cannot be written.
        ValueError: the console's address is none.
    """
    player = {
        "bags": [str(path.resolve()) for path in settings.bags],
        "rate": float(settings.rate),
        "start_s": float(settings.start_s),
        "episode": settings.episode,
        "loop": settings.loop,
        "wait_s": LISTENER_WAIT_S if settings.console is None else CONSOLE_WAIT_S,
    }
    tree: dict[str, Any] = {bringup.BAG_PLAYER.name: {"ros__parameters": player}}
    if settings.console is not None:
        shipped = bringup.merge_parameters(
            config_dir() / "sim.yaml", {bringup.CONSOLE.name: parse_address(settings.console)}
        )
        tree[bringup.CONSOLE.name] = shipped[bringup.CONSOLE.name]
    try:
        checked(tree, "replay")
    except YamlError as error:
        raise RunError(str(error)) from None
    session = RunFolder(folder)
    try:
        session.log("x").parent.mkdir(parents=True, exist_ok=True)
        session.write(tree)
    except OSError as error:
        raise RunError(f"{folder}: {error.strerror}; choose another folder") from error
    return session


def replay(settings: ReplaySettings) -> dict[str, Any]:
    """Play until the end, or until SIGINT or SIGTERM.

    Returns:
        Figures: topics played and left out, seconds, rounds.

    Raises:
        RunError: the bags cannot be played here.
        Interrupted: SIGINT or SIGTERM came before the end.
    """
    check_environment()
    stop = threading.Event()
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    folder = Path(tempfile.mkdtemp(prefix="sarl-replay-"))
    try:
        session = make_session(settings, folder)
        # Never the domain of the surroundings, in which a robot may be.
        wanted = "" if settings.domain is None else str(settings.domain)
        with own_domain(wanted=wanted, named="--domain") as (domain_id, claim):
            return _play(session, settings, domain_id, claim, stop)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _play(
    session: RunFolder, settings: ReplaySettings, domain_id: int, claim: socket.socket, stop: threading.Event
) -> dict[str, Any]:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from sarl_ros.nodes.bag_player import BagPlayer
    from sarl_ros.ros.node import SetupError
    from sarl_ros.ros.spinning import SpinThread
    from sarl_ros.runs.supervisor import Supervisor

    rclpy.init(
        args=["--ros-args", "--params-file", str(session.parameters)], signal_handler_options=SignalHandlerOptions.NO
    )
    page = Supervisor(bringup.graph(session.tree(), (bringup.CONSOLE,)), session, domain_id, _line, (claim.fileno(),))
    player = spinner = None
    try:
        try:
            player = BagPlayer()
        except SetupError as error:
            raise RunError(str(error)) from error
        spinner = SpinThread(SingleThreadedExecutor(), player, player.fail)
        page.start()
        _introduce(player, settings, session, domain_id)
        _watch(player, page, settings, stop)
        return {
            "topics": sorted(player.playback.topics),
            "left_out": player.playback.left_out,
            "seconds": round(player.playback.duration_s, 3),
            "rounds": player.rounds,
        }
    finally:
        page.stop()
        if spinner is not None:
            spinner.stop(timeout_s=0.5)
        if player is not None:
            player.close()
            player.destroy_node()
        rclpy.try_shutdown()


def _introduce(player: BagPlayer, settings: ReplaySettings, session: RunFolder, domain_id: int) -> None:
    playback = player.playback
    _line(
        f"playing {playback.duration_s:.1f} s of {len(playback.topics)} topics at {settings.rate:g} times their speed"
        f" in ROS domain {domain_id}; look in with ROS_DOMAIN_ID={domain_id}"
    )
    for note in playback.notes:
        _line(note)
    for topic, why in sorted(playback.left_out.items()):
        _line(f"not played: {topic}, {why}")
    if address := session.console_address():
        _line(f"console {address} shows the replay; nobody answers its buttons")


def _watch(player: BagPlayer, page: Supervisor, settings: ReplaySettings, stop: threading.Event) -> None:
    over = False
    while not stop.wait(LIVE_LINE_S):
        page.poll()
        _live(_progress(player))
        if player.done.is_set():
            if player.problem:
                raise RunError(player.problem)
            if settings.console is None:
                _live("")
                return
            if not over:
                over = True
                _line("all is played; Ctrl-C closes the page")
    _live("")
    if not over:
        raise Interrupted("the replay was stopped")


def _progress(player: BagPlayer) -> str:
    whole_s, done_s = player.playback.duration_s, player.position_s
    left_s = (whole_s - done_s) / player.rate
    again = f", round {player.rounds + 1}" if player.rounds else ""
    return f"{_clock(done_s)} of {_clock(whole_s)} | {100 * done_s / whole_s:3.0f} % | ETA {_clock(left_s)}{again}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def _line(text: str) -> None:
    print(f"\r\033[K{text}" if sys.stdout.isatty() else text, flush=True)


def _live(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)
