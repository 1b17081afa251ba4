"""Install the coding agents that the tests drive: `python -m tests.real_agents.install DIR`.

Afterwards AUTORL_REAL_AGENTS=DIR has the tests in `tests/real_agents` find them. They come from the
npm registry and PyPI, by the clients' own settings, in the versions below, and into DIR alone.
"""

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path

VERSIONS = {
    "codex": ("@openai/codex", "0.171.0"),
    "claude": ("@anthropic-ai/claude-code", "2.1.332"),
    "opencode": ("opencode-ai", "1.18.33"),
    "gemini": ("@google/gemini-cli", "0.61.0"),
    "qwen": ("@qwen-code/qwen-code", "0.24.4"),
    # Two of them want a newer one than most systems have.
    "node": ("node", "24.21.0"),
}
"""Packages of npm, by the program that each brings."""
AIDER = "aider-chat==0.86.2"
_SECONDS = 1200


def install(folder: Path) -> list[str]:
    """Install all of them; return what could not be, a line each."""
    folder.mkdir(parents=True, exist_ok=True)
    # Of one's own, so that npm does not look for one in the folders above; some packages fetch
    # their program in a script, which newer versions of npm want to be allowed by name.
    allowed = dict.fromkeys([package for package, _ in VERSIONS.values()], True)
    package_json = {"private": True, "allowScripts": allowed}
    (folder / "package.json").write_text(json.dumps(package_json), encoding="utf-8")
    packages = [f"{package}@{version}" for package, version in VERSIONS.values()]
    failures = []
    options = ["--no-fund", "--no-audit", "--save-exact"]
    if said := _failure(["npm", "install", "--prefix", str(folder), *options, *packages]):
        failures.append(f"{', '.join(VERSIONS)}: {said}")
    # In an environment of its own: it pins old versions of what others need too.
    venv.create(folder / "aider", with_pip=True)
    pip = [str(folder / "aider" / "bin" / "python"), "-m", "pip", "install", "--quiet", AIDER]
    if said := _failure(pip):
        failures.append(f"aider: {said}")
    return failures


def _failure(command: list[str]) -> str:
    """Run a command; return why it failed, empty if it did not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "" if done.returncode == 0 else "\n".join(lines[-5:]) or f"exit code {done.returncode}"


def main() -> int:
    """Install into the folder that is named; 1 if one could not be."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    failures = install(parser.parse_args().folder.resolve())
    for line in failures:
        print(f"not installed: {line}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
