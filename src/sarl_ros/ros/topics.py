"""Names and quality of service of every topic and service of the graph, in one place."""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

EPISODE = "/sarl/episode"
EPISODE_EVENT = "/sarl/episode_event"
PROMPT = "/sarl/prompt"
STEP_RESULT = "/sarl/step_result"
STEP_VERDICT = "/sarl/step_verdict"
PROPOSAL = "/sarl/proposal"
BUTTONS = "/sarl/buttons"
LEARNER_STATUS = "/sarl/learner_status"
NODE_STATUS = "/sarl/node_status"
PROPOSE_PROMPTS = "/sarl/propose_prompts"
STEER = "/sarl/steer"
JUDGEMENT = "/sarl/judgement"
PRESS = "/operator/press"
JOY = "/joy"

ARM_COMMAND = "/arm/command"
ARM_STATE = "/arm/state"
ARM_RESET = "/arm/reset"
ARM_STOP = "/arm/stop"
ARM_CLEAR = "/arm/clear"
ARM_PAUSE = "/arm/pause"
ARM_RESUME = "/arm/resume"
ARM_SLEEP = "/arm/sleep"

SIM_RESET = "/sim/reset"
SIM_FAULT = "/sim/fault"
SIM_FAULT_EVENT = "/sim/fault_event"
CLOCK = "/clock"
DIAGNOSTICS = "/diagnostics"

ROBOT_NAME = "wx250s"


def camera_image(name: str) -> str:
    """Raw image topic of camera `name`, as realsense-ros names it."""
    return f"/camera/{name}/color/image_raw"


def camera_info(name: str) -> str:
    return f"/camera/{name}/color/camera_info"


def compressed(image_topic: str) -> str:
    """Where image_transport has an image topic as JPEG."""
    return f"{image_topic}/compressed"


# The protocol's messages: never lost, kept for late joiners and restarted nodes, deduplicated by key.
PROTOCOL = QoSProfile(
    depth=64,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
# A state of which only the newest counts.
LATCHED = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
# Commands, states and images: reliable, not kept.
STREAM = QoSProfile(depth=10, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
IMAGE = QoSProfile(depth=4, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)
