"""Foot pedals and key pads as a joystick: `/joy` has a button a key, whose meaning the operator's joy_buttons give."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial

from sensor_msgs.msg import Joy

from sarl_ros.operating.pedals import Device, Pedals, PedalsError, PermissionMissing, key_codes, open_device
from sarl_ros.parameters.pedals import PedalsParameters
from sarl_ros.ros import topics
from sarl_ros.ros.node import SarlNode, SetupError, run_node
from sarl_ros.ros.parameters import declare

PERIOD_S = 0.2


class PedalsNode(SarlNode):
    """Reads in a thread of its own; publishes each change, and five times a second what is down."""

    def __init__(self) -> None:
        super().__init__("pedals")
        settings = declare(self, PedalsParameters)
        try:
            codes = key_codes(settings.keys)
            self._pedals = Pedals(codes, settings.debounce_s, partial(self.open, settings.device, codes))
            self._pedals.wait(0.0)
        except PedalsError as error:
            raise SetupError(f"pedals: {error}") from None
        self._device = settings.device
        self._publisher = self.create_publisher(Joy, topics.JOY, topics.STREAM)
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._read, name="pedals", daemon=True)
        self._reader.start()

    def open(self, device: str, codes: Iterable[int]) -> Device:
        return open_device(device, codes)

    def _read(self) -> None:
        while not self._stopping.is_set():
            self._tell_fault(self._pedals.fault)
            self._publish(self._pedals.buttons)
            until_s = self.steady_s() + PERIOD_S
            while (left_s := until_s - self.steady_s()) > 0 and not self._stopping.is_set():
                for buttons in self._wait(left_s):
                    self._publish(buttons)

    def _wait(self, timeout_s: float) -> list[list[int]]:
        try:
            return self._pedals.wait(timeout_s)
        except PermissionMissing as error:  # of a device that came back as another user's
            self._tell_fault(str(error))
            self._stopping.wait(timeout_s)
            return []

    def _tell_fault(self, fault: str) -> None:
        self.ready = not fault
        if fault and self.faults.get("pedals") != fault:
            self.faults["pedals"] = fault
            self.get_logger().warning(fault)
        elif not fault:
            self.faults.pop("pedals", None)

    def _publish(self, buttons: list[int]) -> None:
        message = Joy(buttons=buttons)
        message.header.stamp = self.get_clock().now().to_msg()
        message.header.frame_id = f"pedals {self._device}"
        self._publisher.publish(message)

    def close(self) -> None:
        self._stopping.set()
        self._reader.join(timeout=2.0)
        self._pedals.close()


def main() -> None:
    run_node(PedalsNode, threads=1)


if __name__ == "__main__":
    main()
