"""USB foot pedals and key pads, which are keyboards to the kernel: grabbed, so that nothing else sees their keys.

Needs Linux and the `evdev` package. Only what goes down while we look is a press: keys that are down when a device is
opened count as up until they were let go.
"""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from evdev import InputDevice, ecodes

INPUT_FOLDER = Path("/dev/input")
NAMES_FOLDER = Path("/sys/class/input")
REOPEN_S = 1.0
UDEV_FILE = "/etc/udev/rules.d/70-sarl-pedals.rules"


class PedalsError(Exception):
    """A device cannot be used now; one line that names it and the remedy."""


class PermissionMissing(PedalsError):
    """The device is there and may not be read."""


class Device(Protocol):
    """What is used of `evdev.InputDevice`."""

    def fileno(self) -> int: ...

    def read(self) -> Iterable[Any]: ...

    def active_keys(self) -> Sequence[int]: ...

    def close(self) -> None: ...


def key_codes(names: Sequence[str]) -> dict[int, int]:
    """The index of each key by its code; an empty name is no key.

    Args:
        names: as in linux/input-event-codes.h, KEY_A or BTN_LEFT for instance; position is the index in the joystick
            message.

    Raises:
        PedalsError: a name is unknown or given twice, or there is none.
    """
    codes: dict[int, int] = {}
    for index, name in enumerate(names):
        if not name:
            continue
        code = ecodes.ecodes.get(name)
        if not isinstance(code, int) or not name.startswith(("KEY_", "BTN_")):
            raise PedalsError(f"there is no key {name!r}: `evtest` shows the names, KEY_A for instance")
        if code in codes:
            raise PedalsError(f"key {name} is given twice: one key is one button")
        codes[code] = index
    if not codes:
        raise PedalsError("no keys: list the device's keys in the order of the buttons, as `evtest` shows them")
    return codes


def find_devices(wanted: str, devices: Path = INPUT_FOLDER, names: Path = NAMES_FOLDER) -> list[tuple[Path, str]]:
    """Paths and names of the devices that `wanted` names: a path, or a part of the name in any case.

    Raises:
        PedalsError: there is none; the message lists those that there are.
    """
    if wanted.startswith("/"):
        if not Path(wanted).exists():
            raise PedalsError(f"{wanted} is not there: plug the device in")
        path = Path(wanted).resolve()
        return [(path, _name(path, names) or wanted)]
    found = {path: _name(path, names) for path in sorted(devices.glob("event*"))}
    matching = [(path, name) for path, name in found.items() if wanted.casefold() in name.casefold()]
    if not matching:
        there = ", ".join(sorted({repr(name) for name in found.values() if name})) or "none"
        raise PedalsError(
            f"no input device has {wanted!r} in its name: plug it in, or name one of those there: {there}"
        )
    return matching


def _name(path: Path, names: Path) -> str:
    """Name of an input device, which may be read even where the device may not."""
    try:
        return (names / path.name / "device" / "name").read_text().strip()
    except OSError:
        return ""


def open_device(wanted: str, codes: Iterable[int]) -> InputDevice:
    """The first matching device that has one of these keys, grabbed: pedals often are several devices of one name.

    Raises:
        PermissionMissing: it may not be read.
        PedalsError: there is none, it has none of the keys, or another program has grabbed it.
    """
    wanted_codes = set(codes)
    matching = find_devices(wanted)
    for path, name in matching:
        try:
            device = InputDevice(str(path))
        except PermissionError:
            raise PermissionMissing(
                f"{path} ({name}) may not be read: put the line"
                f' SUBSYSTEM=="input", KERNEL=="event*", ATTRS{{name}}=="{name}", TAG+="uaccess"'
                f" into {UDEV_FILE}, then `sudo udevadm control --reload && sudo udevadm trigger`"
            ) from None
        except OSError as error:
            raise PedalsError(f"{path} ({name}) cannot be opened: {error.strerror}") from None
        if not wanted_codes & set(device.capabilities().get(ecodes.EV_KEY, ())):
            device.close()
            continue
        try:
            device.grab()
        except OSError as error:
            device.close()
            busy = error.errno == errno.EBUSY
            why = "another program has grabbed it: end that one" if busy else error.strerror
            raise PedalsError(f"{path} ({name}) cannot be grabbed: {why}") from None
        return device
    raise PedalsError(f"{matching[0][1]} has none of the keys: `evtest {matching[0][0]}` shows those that it has")


class Pedals:
    """One device, opened when it is there and again when it is back.

    Args:
        codes: index of each key by its code.
        debounce_s: a key that has changed does not change again before this; then it is as it is.
        open_device: gives the grabbed device or raises PedalsError.

    Attributes:
        fault: why no presses come, empty while they do.
    """

    def __init__(self, codes: dict[int, int], debounce_s: float, open_device: Callable[[], Device]) -> None:
        self._codes, self._debounce_s, self._open = codes, debounce_s, open_device
        self._size = max(codes.values()) + 1
        self._device: Device | None = None
        self._opened_s = float("-inf")
        self._forget()
        self.fault = ""

    def _forget(self) -> None:
        self._raw = [False] * self._size
        self._down = [False] * self._size
        self._changed_s = [float("-inf")] * self._size
        self._stale: set[int] = set()

    @property
    def buttons(self) -> list[int]:
        """Which are down now, by index, as `sensor_msgs/Joy` has them."""
        return [int(down) for down in self._down]

    def wait(self, timeout_s: float) -> list[list[int]]:
        """Wait for keys, at most so long; returns `buttons` after each change, oldest first.

        Raises:
            PermissionMissing: the device may not be read.
        """
        if self._device is None and not self._reopen():
            time.sleep(timeout_s)
            return []
        assert self._device is not None
        before = self.buttons
        bouncing = any(raw != down for raw, down in zip(self._raw, self._down, strict=True))
        ready, _, _ = select.select([self._device], [], [], min(timeout_s, self._debounce_s) if bouncing else timeout_s)
        changes: list[list[int]] = []
        try:
            for event in self._device.read() if ready else ():
                if self._take(event):
                    changes += self._settle(time.monotonic())
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(f"the pedals were unplugged ({error.strerror}): plug them in again")
            return [self.buttons] if any(before) else []
        return changes + self._settle(time.monotonic())

    def _reopen(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._opened_s < REOPEN_S:
            return False
        self._opened_s = now_s
        try:
            self._device = self._open()
            self._stale = {self._codes[code] for code in self._device.active_keys() if code in self._codes}
        except PermissionMissing:
            raise
        except (PedalsError, OSError) as error:
            self._lose(str(error))
            return False
        self.fault = ""
        return True

    def _lose(self, why: str) -> None:
        self.fault = why
        self._forget()
        if self._device is not None:
            self._device.close()
            self._device = None

    def _take(self, event: Any) -> bool:
        """Note what an event says; whether it says something of our keys."""
        if event.type == ecodes.EV_SYN and event.code == ecodes.SYN_DROPPED:
            self._read_again()
            return True
        index = self._codes.get(event.code) if event.type == ecodes.EV_KEY else None
        if index is None or event.value not in (0, 1):  # 2 is a repetition
            return False
        if index in self._stale:
            if event.value == 0:
                self._stale.discard(index)
            return False
        self._raw[index] = bool(event.value)
        return True

    def _read_again(self) -> None:
        """The kernel has dropped events: take the keys as they are. What went down meanwhile is no press."""
        assert self._device is not None
        down = {self._codes[code] for code in self._device.active_keys() if code in self._codes}
        self._stale = {index for index in down if not self._raw[index]}
        self._raw = [raw and index in down for index, raw in enumerate(self._raw)]

    def _settle(self, now_s: float) -> list[list[int]]:
        """Let keys that have changed, and are past their bouncing, count."""
        changed = [
            index
            for index, (raw, down) in enumerate(zip(self._raw, self._down, strict=True))
            if raw != down and now_s - self._changed_s[index] >= self._debounce_s
        ]
        for index in changed:
            self._down[index], self._changed_s[index] = self._raw[index], now_s
        return [self.buttons] if changed else []

    def close(self) -> None:
        """Let the device go."""
        if self._device is not None:
            self._device.close()
            self._device = None
