from glob import glob

from setuptools import find_packages, setup

NODES = [
    "sim_world.node",
    "camera",
    "vla_executor.node",
    "prompt_proposer",
    "operator.node",
    "sarl_learner",
    "recorder.node",
    "console",
    "pedals",
    "bag_player",
]

setup(
    name="sarl_ros",
    version="0.1.0",
    description="Semantic Action RL for a frozen vision-language-action model on a WidowX 250 S, as a ROS 2 graph",
    license="Apache-2.0",
    package_dir={"": "src"},
    packages=find_packages("src", include=["sarl_ros*", "widowx_bridge*"]),
    package_data={
        "widowx_bridge": ["*.xml"],
        "sarl_ros.policies.mini": ["weights/*"],
        "sarl_ros.runs": ["*.xml"],
        "sarl_ros.console": ["assets/*"],
        "sarl_ros.analysis": ["template/*"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/sarl_ros"]),
        ("share/sarl_ros", ["package.xml"]),
        ("share/sarl_ros/launch", glob("launch/*.launch.py")),
        ("share/sarl_ros/config", glob("config/*.yaml")),
        *((f"share/sarl_ros/config/{part}", glob(f"config/{part}/*")) for part in ("agents", "demos", "tasks")),
    ],
    entry_points={
        "console_scripts": [
            "sarl = sarl_ros.cli:main",
            "widowx_bridge = widowx_bridge.node:main",
            "dry_arm = sarl_ros.nodes.dry_arm:main",
            *(f"{module.removesuffix('.node')} = sarl_ros.nodes.{module}:main" for module in NODES),
        ]
    },
)
