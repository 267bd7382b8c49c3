"""Where a run came from: commit, versions, machine."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from submissions._manifest import GitFacts

CHECKOUT = Path(__file__).resolve().parents[1]


def git_facts(root: Path = CHECKOUT) -> GitFacts:
    """Commit of the checkout and whether files differ from it. Without git, or outside a repository: null and why."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain")
    except FileNotFoundError:
        return GitFacts(commit=None, is_dirty=None, reason="git is not installed")
    except subprocess.TimeoutExpired:
        return GitFacts(commit=None, is_dirty=None, reason="git did not answer in time")
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        return GitFacts(commit=None, is_dirty=None, reason=lines[0] if lines else "git failed")
    return GitFacts(commit=commit.strip(), is_dirty=bool(changes.strip()))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


@cache
def installed_versions() -> dict[str, str]:
    """Name and version of every installed distribution, sorted by name."""
    found = {d.name.lower(): d.version for d in metadata.distributions() if d.name}
    return dict(sorted(found.items()))


def machine_words() -> str:
    """Operating system and processor, in words."""
    return platform.platform()
