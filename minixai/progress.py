"""A line on stderr for work that takes longer than a person waits without one."""
import sys
import time

PATIENCE = 2.0      # seconds
PAUSE = 0.5         # between two lines: a file or a log keeps every one of them


def watched(parts, what):
    """Go through the parts; after two seconds, say on stderr how far it is, and wipe the line at the end."""
    began = time.monotonic()
    last = began - PAUSE
    shown = False
    for number, part in enumerate(parts):
        yield part
        now = time.monotonic()
        if now - began > PATIENCE and now - last > PAUSE:
            shown, last = True, now
            print(f"\r{what}: part {number + 1}", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r" + " " * (len(what) + 30) + "\r", end="", file=sys.stderr, flush=True)
