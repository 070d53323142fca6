"""The model card: what the weights were trained on and what was measured, as Markdown made from the reports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARD = "model_card.md"

_INTRODUCTION = """# Model card: mini VLA

A small vision-language-action policy for a simulated WidowX 250 S on a table top. It sees two camera images (front
640x480, wrist 320x240, averaged down to 128x96 and 80x60), the 8-D proprio and a prompt, and returns {chunk} actions of
7 dimensions at 5 Hz. A keypoint network turns the images into object tokens (position, yaw, appearance code); a
transformer reads them with a frozen sentence embedding (all-MiniLM-L6-v2) and conditions a flow-matching head.

**Meant for** the embedded simulator, as a policy that follows short prompts well and long ones badly. Nothing in it is
made to fail or to succeed at a task. **Not meant for** a real arm.

**Privileged:** the class vocabulary and the appearance codes are fixed, the calibration of the cameras is known, and
training used true positions. At run time it sees images, proprio and prompt only; it keeps no memory between chunks.
"""


def write_card(folder: Path, training: Mapping[str, Any], evaluation: Mapping[str, Any] | None = None) -> None:
    """Write the card of the weights in a folder."""
    parts = [_INTRODUCTION.format(chunk=4), _training_section(training)]
    if evaluation is not None:
        parts.append(_evaluation_section(evaluation))
    (folder / CARD).write_text("\n".join(parts))


def _training_section(report: Mapping[str, Any]) -> str:
    data, perception, policy = report["data"], report["perception"], report["policy"]
    errors = perception["held_out"]
    notes = "".join(f"- {note}\n" for note in report.get("notes", ()))
    return f"""## Training
- Weights (sha256): `{report["weights_hash"]}`
- Command: {report["command"]}, seed {report["seed"]}
- Data: {data["episodes"]} demonstrations by scripted experts with perturbed execution, {data["states_with_actions"]}
  states, {data["frames"]} frames, {data["prompts"]} prompts. "hammer" is in view and never named.
- Perception: {perception["parameters"]:,} parameters, {perception["steps"]} steps of {perception["batch"]} frames,
  {perception["minutes"]} minutes on one thread, with varied light, colour, noise and JPEG artefacts.
- Policy: {policy["steps"]} steps of {policy["batch"]}, {policy["minutes"]} minutes on one thread.
{notes}
Perception on {errors["frames"]:.0f} held-out frames: position error median {errors["position_mm_median"]} mm, 90th
percentile {errors["position_mm_p90"]} mm; near the gripper {errors["near_gripper_mm_median"]} /
{errors["near_gripper_mm_p90"]} mm; held {errors["held_mm_median"]} / {errors["held_mm_p90"]} mm; yaw median
{errors["yaw_deg_median"]} degrees; presence right {errors["presence_accuracy"]:.2%}.
"""


def _evaluation_section(report: Mapping[str, Any]) -> str:
    lines = [
        "## Measured",
        f"From images only, {report['trials']} random scenes a skill, seeds apart from training "
        f"(`sarl vla-eval --trials {report['trials']} --seed {report['seed']}`).",
        "",
        "| skill | success | asked |",
        "| --- | --- | --- |",
    ]
    for kind, row in report["skills"].items():
        asked = "" if row["target"] is None else f">= {row['target']:.2f}"
        lines.append(f"| {kind} | {row['share']:.2f} ({row['successes']}/{row['trials']}) | {asked} |")
    lines += ["", "| long prompt | success | how it ends |", "| --- | --- | --- |"]
    for row in report["long_prompts"].values():
        lines.append(f"| {row['prompt']} | {row['successes']}/{row['trials']} | {_counts(row['ends'], 3)} |")
    lines += ["", "What unseen prompts do, 10 trials each:", "", "| prompt | task | outcome |", "| --- | --- | --- |"]
    for prompt, row in report["prompt_map"].items():
        lines.append(f"| {prompt} | {row['task']} | {_counts(row['outcomes'], 4)} |")
    times = report["inference_ms"]
    lines += ["", f"A chunk takes {times['median']} ms (95th percentile {times['p95']} ms) on one thread.", ""]
    return "\n".join(lines)


def _counts(outcomes: Mapping[str, int], most: int) -> str:
    return ", ".join(f"{count} {what}" for what, count in list(outcomes.items())[:most])
