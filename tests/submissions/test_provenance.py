"""The commit of a run, with git and without."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from submissions import git_facts

IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_and_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), *IDENTITY, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    empty = git_facts(tmp_path)
    assert empty.commit is None
    assert empty.reason
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "first")
    clean = git_facts(tmp_path)
    assert (clean.commit, clean.is_dirty) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("2")
    assert git_facts(tmp_path).is_dirty


def test_no_repository_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    facts = git_facts(tmp_path)
    assert (facts.commit, facts.is_dirty) == (None, None)
    assert facts.reason
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_facts(tmp_path).reason == "git is not installed"
