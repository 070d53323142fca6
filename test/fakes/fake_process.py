"""A process that runs, dies, refuses or ignores SIGINT, as the file `behaviour` beside its parameter file says."""

import signal
import sys
import time
from pathlib import Path

folder = Path(sys.argv[sys.argv.index("--params-file") + 1]).parent
behaviour = (folder / "behaviour").read_text()
starts = folder / "starts"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
if behaviour == "refuse":
    print("error: the thing is missing: make it with the remedy", file=sys.stderr)
    sys.exit(2)
if behaviour == "crash":
    print("about to fall over")
    sys.exit(1)
if behaviour == "stubborn":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
print("running", flush=True)
time.sleep(60)
