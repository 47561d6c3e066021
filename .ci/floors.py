#!/usr/bin/env python3
"""Are the lowest versions true that pyproject.toml allows? Installs them into an environment of its own and runs the quick tests there.

`.ci/floors.py` does it for this Python, once for each list of dependencies: what has passed is remembered by a hash of the list.
`.ci/floors.py --python python3.12 torch==2.11.0` does it with another Python, and with these versions of some packages.
What stands after `--` goes to pytest. The environment (6 GB) is removed at the end.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ["-n", "2", "-rs"]


def key(version: str, requirements: list[str]) -> str:
    """Names what is tried: Python's version, the dependencies of pyproject.toml, and what was asked for besides."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = [version, *project["dependencies"], *project["optional-dependencies"]["dev"], *requirements]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def install(python: str, environment: Path, requirements: list[str]) -> None:
    """Make the environment. uv finds the lowest versions that go together in a second; pip has no such option."""
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([python, "-m", "venv", environment], check=True)
    inside = environment / "bin/python"
    subprocess.run([inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], check=True)
    lowest = ["--resolution", "lowest-direct", "-r", ROOT / "pyproject.toml", "--extra", "dev", *requirements]
    subprocess.run([environment / "bin/uv", "pip", "install", "--quiet", "--python", inside, *lowest], check=True)


def main() -> int:
    """Exit code 0 where the tests pass, or have passed before with this list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="the interpreter of the environment")
    parser.add_argument("--keep", action="store_true", help="keep the environment, to look at it")
    parser.add_argument("requirements", nargs="*", help="versions to take: torch==2.11.0")
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    arguments, tests = parser.parse_args(words[:end]), words[end + 1 :]

    version = subprocess.run([arguments.python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    base = Path(os.environ.get("DLWB_CI_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dlwb-ci")
    name = f"floors-{key(version, arguments.requirements)}"
    passed, environment = base / f"{name}.passed", base / name
    print(f"== floors: the lowest versions on {version} {' '.join(arguments.requirements)}", flush=True)
    if passed.exists() and not tests:
        print("They have passed before.")
        return 0
    base.mkdir(parents=True, exist_ok=True)
    try:
        install(arguments.python, environment, arguments.requirements)
        # The tree itself, not an installed copy of it.
        surroundings = {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        command = [environment / "bin/python", "-m", "pytest", *(tests or TESTS)]
        code = subprocess.run(command, cwd=ROOT, env={**os.environ, **surroundings}, check=False).returncode
    except subprocess.CalledProcessError as error:
        print(f"The environment cannot be made: {error}", file=sys.stderr)
        return 1
    finally:
        if not arguments.keep:
            shutil.rmtree(environment, ignore_errors=True)
    if not code and not tests:
        passed.touch()
    return code


if __name__ == "__main__":
    sys.exit(main())
