"""What recording costs: control steps a second of the whole simulated graph with and without it, in turn.

Reference: recording may cost the graph 10 % of its control-step rate. Rates need a computer that does nothing else;
processor time, starting included, tells even where it does.

Then the messages of the last run are written again, in turn with checksums, with the same writer but no sums, and as
before there were checksums (rosbags' writer). Reference: checksums may cost 3 % of a control step's time.

    nice -n 10 python bench/recording.py [--rounds 4] [--episodes 6] [--agent random] [--policy mini]
    python bench/recording.py --bags RUN      # only the second part, with the bags of a run
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.interfaces import Qos
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter
from rosbags.rosbag2.metadata import parse_qos

from sarl_ros.core.types import CONTROL_PERIOD_S
from sarl_ros.runs import bringup
from sarl_ros.runs.folder import RunSettings, create_run
from sarl_ros.runs.run import run_graph
from sarl_ros.store.bag_run import read_run
from sarl_ros.store.bag_writing import BUFFER_BYTES, BagWriter
from sarl_ros.store.bags import BagReader, find_bags
from sarl_ros.store.message_definitions import message_definition, type_hash

REFERENCE_COST = 0.10
REFERENCE_SUMS = 0.03
SAMPLE_S = 0.2
FLUSH_NS = 150_000_000
Told = tuple[str, str, int, bytes, list[Qos], bool]  # as a writer takes it, and whether it is to be flushed


class CpuMeter:
    """Processor time [s] of a run's node, sampled while it lives."""

    def __init__(self, supervisor: Any, node: str) -> None:
        self.seconds = 0.0
        self._supervisor, self._node = supervisor, node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            pid = self._supervisor.pid(self._node)
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            self.seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


class WriterBefore:
    """An open recording and its folder as they were written before they had checksums."""

    def __init__(self, folder: Path, name: str, metadata: dict[str, str]) -> None:
        self._file = (folder / f"{name}.mcap").open("xb", buffering=BUFFER_BYTES)
        self._live = McapWriter(self._file, compression=CompressionType.NONE, use_chunking=False)
        self._live.start("ros2")
        self._folder = RosbagsWriter(folder / name, version=9, storage_plugin=StoragePlugin.MCAP)
        self._folder.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        for entry in metadata.items():
            self._folder.set_custom_data(*entry)
        self._folder.open()
        self._channels: dict[str, Any] = {}

    def write(self, topic: str, type: str, time_ns: int, data: bytes, offered: Sequence[Qos]) -> None:
        if topic not in self._channels:
            definition = message_definition(type)
            schema = self._live.register_schema(type, "ros2msg", definition.encode())
            sealed = self._folder.add_connection(
                topic, type, msgdef=definition, rihs01=type_hash(type), offered_qos_profiles=offered
            )
            self._channels[topic] = self._live.register_channel(topic, "cdr", schema), sealed
        live, sealed = self._channels[topic]
        self._live.add_message(live, time_ns, data, time_ns)
        self._folder.write(sealed, time_ns, data)

    def flush(self) -> None:
        self._file.flush()

    def seal(self) -> None:
        self._folder.close()
        self._file.close()


def told_in(bag: Path) -> tuple[dict[str, str], list[Told]]:
    """Metadata and messages of a bag, flushed where a recorder does."""
    reader = BagReader(bag)
    offered = {
        topic: parse_qos(reader.channel_metadata(topic).get("offered_qos_profiles", "")) for topic in reader.topics
    }
    kept = {topic for topic, profiles in offered.items() if profiles and all(each.durability == 1 for each in profiles)}
    told, flushed_ns = [], 0
    for each in reader.messages():
        flush = each.topic in kept or each.time_ns - flushed_ns >= FLUSH_NS
        flushed_ns = each.time_ns if flush else flushed_ns
        told.append((each.topic, each.type, each.time_ns, each.data, offered[each.topic], flush))
    return reader.metadata, told


def write_again(writer: Callable[..., Any], recorded: Sequence[tuple[dict[str, str], list[Told]]]) -> float:
    """Processor time [s] of writing the messages of these bags once more."""
    begun_s = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for number, (metadata, told) in enumerate(recorded):
            bag = writer(Path(folder), f"episode-{number:04}", metadata)
            for *message, flush in told:
                bag.write(*message)
                if flush:
                    bag.flush()
            bag.seal()
    return time.process_time() - begun_s


def no_sum(data: bytes, value: int = 0) -> int:
    return 1


def cost_of_sums(bags: Sequence[Path], control_steps_per_s: float, rounds: int) -> dict[str, Any]:
    """The recorder's writing a control step, with checksums, without, and as it was before; medians of `rounds`."""
    recorded = [told_in(bag) for bag in bags]
    steps = sum(
        int(step.result.control_steps)
        for episode in read_run(bags).episodes
        for step in episode.steps
        if step.result is not None
    )
    seconds: dict[str, list[float]] = {"before": [], "no sums": [], "now": []}
    for _ in range(rounds):
        seconds["before"].append(write_again(WriterBefore, recorded))
        with mock.patch("zlib.crc32", no_sum):
            seconds["no sums"].append(write_again(BagWriter, recorded))
        seconds["now"].append(write_again(BagWriter, recorded))
    us = {name: round(1e6 * statistics.median(each) / steps, 1) for name, each in seconds.items()}
    ratios = [now / before for now, before in zip(seconds["now"], seconds["before"], strict=True)]
    sums = statistics.median(
        (now - without) / steps * control_steps_per_s
        for now, without in zip(seconds["now"], seconds["no sums"], strict=True)
    )
    print(
        f"writing {sum(len(told) for _, told in recorded)} messages of {steps} control steps: {us['now']} us of"
        f" processor time a control step with checksums, {us['no sums']} without, {us['before']} as before;"
        f" to before: ratio {statistics.median(ratios):.2f} (rounds {[round(ratio, 2) for ratio in ratios]});"
        f" checksums at {control_steps_per_s:.1f} control steps/s: {sums:.2%} of a control step;"
        f" reference {REFERENCE_SUMS:.0%}: ratio {sums / REFERENCE_SUMS:.2f}"
    )
    return {
        "writer_us_per_control_step": us,
        "writer_to_before": round(statistics.median(ratios), 3),
        "sums_share_of_control_step": round(sums, 5),
    }


def run(options: argparse.Namespace, root: Path, record: bool) -> dict[str, Any]:
    settings = RunSettings(
        task=options.task, episodes=options.episodes, agent=options.agent, policy=options.policy, record=record
    )
    folder = create_run(settings, root)
    meters: dict[str, CpuMeter] = {}

    def measure(supervisor: Any) -> None:
        meters.update({spec.name: CpuMeter(supervisor, spec.name) for spec in bringup.graph(folder.tree())})

    try:
        summary = run_graph(folder, measure)
    finally:
        for meter in meters.values():
            meter.close()
    bags = find_bags([folder.path]) if record else []
    size = sum(file.stat().st_size for bag in bags for file in bag.rglob("*") if file.is_file())
    steps = max(1, summary["control_steps"])
    return {
        "run": str(folder.path),
        "record": record,
        "control_steps_per_s": summary["times_real_time"] / CONTROL_PERIOD_S,
        "control_steps": steps,
        "cpu_ms_per_control_step": {name: round(1e3 * meter.seconds / steps, 2) for name, meter in meters.items()},
        "bag_kb_per_control_step": round(size / steps / 1e3, 1),
        "bags": len(bags),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=6)
    parser.add_argument("--task", default="hammer")
    parser.add_argument("--agent", default="random")
    parser.add_argument("--policy", default="mini")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bags", type=Path, help="a run whose messages are written again; no graph is started")
    parser.add_argument("--rate", type=float, default=40.0, help="control steps a second to set that against")
    options = parser.parse_args()
    if options.bags:
        cost_of_sums(find_bags([options.bags]), options.rate, options.rounds)
        return
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for record in (False, True) if number % 2 == 0 else (True, False):
                runs.append(run(options, Path(folder), record))
                print(json.dumps(runs[-1]), flush=True)
        newest = next(row["run"] for row in reversed(runs) if row["record"])
        sums = cost_of_sums(find_bags([newest]), max(row["control_steps_per_s"] for row in runs), options.rounds)
    pairs = [sorted(runs[index : index + 2], key=lambda row: row["record"]) for index in range(0, len(runs), 2)]
    ratios = [with_it["control_steps_per_s"] / without["control_steps_per_s"] for without, with_it in pairs]
    rates = {
        record: [row["control_steps_per_s"] for row in runs if row["record"] is record] for record in (False, True)
    }
    cost = 1 - statistics.median(ratios)
    cpu = {
        record: statistics.median(
            sum(row["cpu_ms_per_control_step"].values()) for row in runs if row["record"] is record
        )
        for record in (False, True)
    }
    figures = {
        "best_control_steps_per_s": {"without": round(max(rates[False]), 1), "with": round(max(rates[True]), 1)},
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ratio_of_the_best": round(max(rates[True]) / max(rates[False]), 3),
        "cost": round(cost, 3),
        "cpu_ms_per_control_step": {"without": round(cpu[False], 1), "with": round(cpu[True], 1)},
        "cost_to_reference": round(cost / REFERENCE_COST, 2),
        **sums,
        "runs": runs,
    }
    print(
        f"best {max(rates[False]):.1f} control steps/s without recording, {max(rates[True]):.1f} with it; ratios of the"
        f" rounds {figures['ratios']}: median cost {cost:.1%}; reference {REFERENCE_COST:.0%}:"
        f" ratio {figures['cost_to_reference']}"
    )
    print(f"processor time of all nodes: {cpu[False]:.1f} ms a control step without recording, {cpu[True]:.1f} with it")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
