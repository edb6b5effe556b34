"""The tests with the instructions of other processors:   python -m tests.elsewhere [SETTING …] [-- PYTEST ARGUMENTS]

    here    as this machine is
    sse     no vectors beyond SSE 4: what a processor of 2010 has, or an emulator
    avx2    AVX2 and one thread, where the machine has AVX-512

Processors add in another order and so round differently. What passes here and fails there compares more digits than
there are. Each setting is a set of variables that torch and its libraries read once, when they start: so each has a
process of its own. Without a SETTING all three run, one after the other.

    python -m tests.elsewhere                           # the tests on all three
    python -m tests.elsewhere -- --slow                 # all of them, as CI does
    python -m tests.elsewhere sse -- tests/test_cams.py -x
"""
import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

SETTINGS = {
    "here": {},
    "sse": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2",
             "OMP_NUM_THREADS": "1"},
}


def main(argv=None):
    words = sys.argv[1:] if argv is None else argv
    end = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="python -m tests.elsewhere", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", nargs="*", help=f"{', '.join(SETTINGS)}; none: all")
    names = parser.parse_args(words[:end]).setting or list(SETTINGS)
    if unknown := set(names) - set(SETTINGS):
        parser.error(f"no setting {', '.join(sorted(unknown))}; there are {', '.join(SETTINGS)}")
    rows = [run(name, words[end + 1:]) for name in names if possible(name)]
    print(f"\n{'setting':10s}{'passed':>8s}{'failed':>8s}{'seconds':>9s}")
    for name, passed, failed, seconds in rows:
        print(f"{name:10s}{passed:8d}{failed:8d}{seconds:9.0f}")
    passed, failed = (sum(row[column] for row in rows) for column in (1, 2))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def possible(name):
    """Whether this processor can be set so; if not, that is said."""
    why = ""
    if SETTINGS[name] and platform.machine().lower() not in ("x86_64", "amd64"):
        why = f"it is for x86 processors, and this one is {platform.machine()}"
    elif name == "avx2" and capability() == "DEFAULT":
        why = "this processor has no AVX2"
    if why:
        print(f"== {name} is left out: {why}", flush=True)
    return not why


def capability():
    """What torch uses of this processor: DEFAULT, AVX2, AVX512 or another word."""
    code = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    return subprocess.run([sys.executable, "-c", code], env=environment("here"), stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()


def run(name, arguments):
    """pytest under one setting: (name, passed, failed, seconds). A run that ends badly has failed at least once."""
    said = " ".join(f"{variable}={value}" for variable, value in SETTINGS[name].items())
    print(f"== {name}: {said or 'as this machine is'}", flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = subprocess.run([sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments],
                              env=environment(name)).returncode
        passed, failed = counts(report) if report.exists() else (0, 0)
    return name, passed, failed or int(code != 0), time.perf_counter() - start


def environment(name):
    """The variables of this process, but for those that any setting has, and those of the setting."""
    ours = {variable for setting in SETTINGS.values() for variable in setting}
    return {variable: value for variable, value in os.environ.items() if variable not in ours} | SETTINGS[name]


def counts(report):
    """(passed, failed) of a report in JUnit's XML."""
    tests, *others = (sum(int(suite.get(what)) for suite in ElementTree.parse(report).iter("testsuite"))
                      for what in ("tests", "skipped", "failures", "errors"))
    return tests - sum(others), others[1] + others[2]


if __name__ == "__main__":
    sys.exit(main())
