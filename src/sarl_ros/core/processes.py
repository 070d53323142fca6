"""Processes that end with the one that started them, and do not live on without one of their threads.

A child is started through `ending_with_us`: the kernel kills it when we end, from its first instruction on, however we
end. Once it can end in order it asks for that instead (`end_with_parent`), and has `GRACE_S` for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Sequence

PARENT = "SARL_PARENT_PID"
"""Environment variable: the process id of whoever started a node, and with whom it ends."""
GRACE_S = 5
PR_SET_PDEATHSIG = 1
FAILED = 1
# Between our fork and the kernel's knowing the wish we may have ended: then the parent is another one.
IF_PARENT_IS = '[ "$PPID" = "$0" ] && exec "$@"'

_failed = threading.Event()


def ending_with_us(command: Sequence[str]) -> list[str]:
    """The command, for a child of this process that is killed when the thread which starts it has ended.

    Raises:
        FileNotFoundError: setpriv is not installed.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise FileNotFoundError("setpriv is missing: install package util-linux")
    return [setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", IF_PARENT_IS, str(os.getpid()), *command]


def be_killed_with(parent_pid: int) -> None:
    """For a child that was not started by a command of ours: be killed when the parent ends, or has ended by now."""
    _on_death_of_parent(signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(FAILED)


def watch_parent() -> None:
    """End this process in order when the one that `PARENT` names is gone; without effect where it names none."""
    if parent := os.environ.get(PARENT):
        threading.Thread(target=_await_orphaned, args=(int(parent),), name="parent watch", daemon=True).start()


def end_in_order() -> None:
    """Have the kernel no longer kill this process when its parent ends: it handles SIGTERM from here on."""
    if os.environ.get(PARENT):
        _on_death_of_parent(signal.SIGTERM)


def end_with_threads() -> None:
    """End this process when any of its threads dies by an exception: without it it would only look alive."""
    threading.excepthook = _thread_died


def end_process(why: str) -> None:
    """Have this process end in order, with `exit_code` 1; by the kernel where it cannot within `GRACE_S`."""
    _failed.set()
    with contextlib.suppress(OSError, ValueError):  # whoever read our words may be gone
        print(f"fatal: {why}: ending", file=sys.stderr, flush=True)
    signal.alarm(GRACE_S)  # works where a call neither returns nor lets other threads run
    os.kill(os.getpid(), signal.SIGTERM)


def exit_code() -> int:
    """What a process ends with after everything is closed: 1 if it ends because of `end_process`."""
    return FAILED if _failed.is_set() else 0


def _await_orphaned(pid: int) -> None:
    # Not by asking who our parent is: a debugger may stand between.
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    end_process(f"process {pid}, which started this one, is gone")


def _thread_died(died: threading.ExceptHookArgs) -> None:
    name = died.thread.name if died.thread else "unknown"
    with contextlib.suppress(OSError, ValueError):
        traceback.print_exception(died.exc_type, died.exc_value, died.exc_traceback)
    end_process(f"thread {name} died by {died.exc_type.__name__}")


def _on_death_of_parent(number: signal.Signals) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
