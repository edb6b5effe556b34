"""A line on stderr for work that takes longer than a person waits without one."""
import sys
import time

PATIENCE = 2.0      # seconds


def watched(parts, what):
    """Go through the parts; after two seconds, say on stderr how far it is, and wipe the line at the end."""
    began, shown = time.monotonic(), False
    for number, part in enumerate(parts):
        yield part
        if time.monotonic() - began > PATIENCE:
            shown = True
            print(f"\r{what}: part {number + 1}", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r" + " " * (len(what) + 30) + "\r", end="", file=sys.stderr, flush=True)
