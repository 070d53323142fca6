"""Camera topic to subscriber callback between two processes: loss and latency of 640x480 RGB at 30 Hz.

Uses the graph's own quality of service, conversions and shared-memory profile. The latency of an image is from just
before it is converted and published to the first line of the callback, on the monotonic clock that both processes
share. Reference: 30 Hz, no loss, p99 below 10 ms.

    python bench/images.py [--seconds 20] [--decoded] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HEIGHT, WIDTH, RATE_HZ = 480, 640, 30
REFERENCE_P99_MS = 10.0
DISCOVERY_S = 20.0
TOPIC_CAMERA = "bench"


def publish(count: int) -> None:
    """The camera's side: `count` images, once somebody listens."""
    import numpy as np
    import rclpy
    from sensor_msgs.msg import Image

    from sarl_ros.ros import topics
    from sarl_ros.ros.cdr import image_cdr

    rclpy.init()
    node = rclpy.create_node("bench_camera")
    publisher = node.create_publisher(Image, topics.camera_image(TOPIC_CAMERA), topics.IMAGE)
    deadline = time.monotonic() + DISCOVERY_S
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            sys.exit("error: nobody listens to the camera: is shared memory (/dev/shm) writable?")
        time.sleep(0.05)
    time.sleep(1.0)
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    begin = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + number / RATE_HZ - time.monotonic()))
        publisher.publish(image_cdr(pixels, time.monotonic_ns(), "bench"))
    publisher.wait_for_all_acked()
    time.sleep(0.5)
    rclpy.shutdown()


def subscribe(count: int, raw: bool) -> list[float]:
    """Latencies in ms of what arrives."""
    import rclpy
    from rclpy.serialization import deserialize_message
    from sensor_msgs.msg import Image

    from sarl_ros.ros import topics
    from sarl_ros.ros.checked_node import CheckedNode
    from sarl_ros.ros.fast_subscription import FastSubscriptions

    rclpy.init()
    latencies_ms: list[float] = []

    def on_image(message: bytes) -> None:
        if not raw:
            deserialize_message(message, Image)
        now_ns = time.monotonic_ns()
        seconds, nanoseconds = (int.from_bytes(message[at : at + 4], "little") for at in (4, 8))
        latencies_ms.append((now_ns - seconds * 1_000_000_000 - nanoseconds) * 1e-6)

    node = CheckedNode("bench_listener")
    fast = FastSubscriptions(node)
    fast.subscribe(Image, topics.camera_image(TOPIC_CAMERA), on_image, topics.IMAGE, raw=True)
    fast.start()
    camera = subprocess.Popen([sys.executable, __file__, "--publish", str(count)])
    try:
        code = camera.wait(timeout=DISCOVERY_S + 10 + count / RATE_HZ)
        time.sleep(0.5)
    finally:
        camera.kill()
        fast.close()
        node.destroy_node()
        rclpy.try_shutdown()
    if code:
        sys.exit(code)
    return latencies_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--decoded", action="store_true", help="take messages, where the executor takes bytes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--publish", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.publish:
        publish(arguments.publish)
        return

    import numpy as np

    from sarl_ros.runs import bringup

    os.environ.update(bringup.environment(int(os.environ.get("ROS_DOMAIN_ID", 104))))
    count = round(arguments.seconds * RATE_HZ)
    latencies_ms = subscribe(count, raw=not arguments.decoded)
    if not latencies_ms:
        sys.exit("error: no image arrived: is shared memory (/dev/shm) writable?")
    p50, p99 = (float(value) for value in np.percentile(latencies_ms, [50, 99]))
    lost = count - len(latencies_ms)
    figures = {
        "images": count,
        "rate_hz": RATE_HZ,
        "lost": lost,
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "max_ms": round(max(latencies_ms), 2),
        "reference_lost": 0,
        "reference_p99_ms": REFERENCE_P99_MS,
        "p99_ratio": round(p99 / REFERENCE_P99_MS, 3),
        "load_average": round(os.getloadavg()[0], 1),
    }
    print(f"{WIDTH}x{HEIGHT} at {RATE_HZ} Hz, two processes, {count} images, load average {figures['load_average']}")
    print(f"lost          {lost:8d}   reference 0")
    print(f"p50 latency   {p50:8.2f} ms")
    print(f"p99 latency   {p99:8.2f} ms   reference {REFERENCE_P99_MS:g} ms, ratio {p99 / REFERENCE_P99_MS:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
