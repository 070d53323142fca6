"""A few lines in a terminal that are drawn again and again in place, and keys without Enter."""

from __future__ import annotations

import codecs
import os
import re
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sarl_ros.operating.terminal import Terminal

POLL_S = 0.1
READ_BYTES = 1024
_ATTRIBUTE = re.compile(r"\x1b\[[0-9;]*m")


def run(terminal: Terminal, ended: Callable[[], bool]) -> None:
    """Show the terminal's lines and give it keys until it is over, the input ends, or `ended` says so."""
    keyboard = sys.stdin.fileno()
    decode = codecs.getincrementaldecoder("utf-8")("ignore").decode
    shown: list[str] = []
    with _single_keys(keyboard):
        while not terminal.over and not ended():
            lines = [_cut(line, shutil.get_terminal_size().columns - 1) for line in terminal.lines(time.monotonic())]
            if lines != shown:
                _draw(lines, len(shown))
                shown = lines
            if select.select([keyboard], [], [], POLL_S)[0]:
                data = os.read(keyboard, READ_BYTES)
                if not data:
                    return
                if text := decode(data):
                    terminal.keys(text)


@contextmanager
def _single_keys(keyboard: int) -> Iterator[None]:
    before = termios.tcgetattr(keyboard)
    tty.setcbreak(keyboard)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
        print()


def _draw(lines: list[str], drawn: int) -> None:
    up = f"\x1b[{drawn - 1}A" if drawn > 1 else ""
    sys.stdout.write(f"\r{up}\x1b[J" + "\r\n".join(lines))
    sys.stdout.flush()


def _cut(line: str, columns: int) -> str:
    """At most so many characters, attributes not counted."""
    room, parts, position = columns, [], 0
    for match in [*_ATTRIBUTE.finditer(line), None]:
        text = line[position : match.start() if match else None]
        parts.append(text[:room])
        room -= min(room, len(text))
        if match is not None:
            parts.append(match.group())
            position = match.end()
    return "".join(parts)
