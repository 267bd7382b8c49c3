"""Everything known about a run when it was made: its scores, its file, code, settings, versions and machine."""

from __future__ import annotations

import math
import subprocess
from datetime import datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from competitions import Metric
from engine import StageCost
from submissions._errors import SubmissionError

CHECKOUT = Path(__file__).resolve().parents[1]

# Not a finite number in memory, null in the file.
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


ALARM = "Alarm: "  # how a remark begins that is one


class _Frozen(BaseModel):
    """What all records share: they cannot be changed, and a file with unknown keys is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class FileFacts(_Frozen):
    """The submitted file: name in the output folder, rows without the header, bytes, digests in hex."""

    name: str
    n_rows: int
    n_bytes: int
    sha256: str
    blake3: str


class CvScore(_Frozen):
    """Cross-validation of one model or blend.

    ``folds``: metric of each eval window (null = not scored). ``mean`` and ``sd`` (n - 1 in the denominator) over
    the folds; null if a fold is not scored or, for ``sd``, if there is only one.
    """

    name: str
    kind: Literal["model", "blend"]
    folds: dict[str, float | None]
    mean: float | None
    sd: float | None


class Stage(_Frozen):
    """Cost of one stage: wall seconds, and the peak resident memory in MiB of this process and its workers."""

    name: str
    seconds: Number
    peak_mib: float | None

    @classmethod
    def of(cls, name: str, cost: StageCost) -> Stage:
        """What a stage cost, rounded."""
        return cls(name=name, seconds=round(cost.seconds, 3), peak_mib=round(cost.peak_mib, 1))


class Parent(_Frozen):
    """A run that this one is a blend of, with its weight (weights sum to one)."""

    run: str
    weight: Number


class GitFacts(_Frozen):
    """The commit of the code; null with the ``reason`` if git or the repository is absent.

    ``is_dirty``: tracked or new files differed from the commit.
    """

    commit: str | None
    is_dirty: bool | None
    reason: str = ""


class RunFacts(_Frozen):
    """What is known about a run before it has a name and a file.

    Attributes
    ----------
    pair_keys, group, user
        Columns that tell the test pairs apart, those within which they are ranked (empty: all are one group), and
        the user's.
    chosen
        Which entry of ``cv`` the file holds.
    weights
        Weight of each model in the chosen blend; empty for a single model or a blend without weights.
    parents
        Runs that were blended; empty for a run made from models. ``with_ranks``: their ranks within the groups
        were blended instead of their scores.
    config
        All settings as resolved from file, environment and command line.
    data_fingerprint, features
        Hash of the input files and of the code that reads them; hash of everything each feature was made of.
    versions
        Installed distributions.
    remarks
        Warnings of the gate, the agreement with the best run, why a blend has no CV.
    """

    competition: str
    metric: Metric
    pair_keys: tuple[str, ...]
    group: tuple[str, ...]
    user: str
    chosen: str
    cv: tuple[CvScore, ...]
    weights: dict[str, Number]
    parents: tuple[Parent, ...] = ()
    with_ranks: bool = False
    git: GitFacts
    config: dict[str, Any]
    seeds: dict[str, int]
    data_fingerprint: str
    features: dict[str, str]
    python: str
    platform: str
    versions: dict[str, str]
    stages: tuple[Stage, ...]
    remarks: tuple[str, ...] = ()

    @property
    def chosen_cv(self) -> CvScore | None:
        """Cross-validation of what the file holds, None if it has none."""
        return next((score for score in self.cv if score.name == self.chosen), None)

    @property
    def cv_mean(self) -> float | None:
        """Mean over the folds of what the file holds, None if not scored."""
        return self.chosen_cv.mean if self.chosen_cv else None


class Manifest(RunFacts):
    """Facts of one finished run: ``runs/RUN/manifest.json``. Written once, last, and never changed."""

    version: Literal[1] = 1
    run: str
    created: datetime
    file: FileFacts

    def require(self, competition: str) -> None:
        """Raise SubmissionError if the run is of another competition than this, the one in the settings."""
        if self.competition != competition:
            raise SubmissionError(
                f"Run {self.run} is of the competition {self.competition!r}, the settings name {competition!r}.",
                expected=f"a run of {competition!r}",
                todo=f"add --set competition={self.competition}",
            )


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
