"""The content-addressed store: an artifact is named by what it was made from, and is there whole or not at all.

Layout below the root: ``artifacts/KIND/KEY/`` the files with ``artifact.json``; ``names/`` the last artifact made
under each name; ``pointers/``; ``locks/``; ``temp/`` folders in the making; ``damaged/`` what failed its checksums.
"""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from engine._errors import StoreError
from engine._store.artifact import LABEL, Damage, seal, stamps, verify
from engine._store.disk import disk_errors, own_folder, temporary_folder, write_atomically
from engine._store.pruning import KindSize, StoredArtifact, stored_artifacts
from engine._store.recipe import Recipe, as_plain, digest_json, explain_change

_PATIENCE = 20.0  # seconds until a wait for another process is worth a word

log = logging.getLogger("engine.store")

# Per process: what was verified, and how its files looked then. Hashing happens once, looking every time.
_verified: dict[Path, object] = {}


@dataclass(frozen=True)
class Store:
    """A folder of artifacts, shared by any number of processes. Holds no state but its path."""

    root: Path

    def find(self, recipe: Recipe) -> Path | None:
        """Folder of the finished artifact, its checksums verified; None if it is not in the store.

        A damaged artifact is moved to ``damaged/`` with a warning in the log, and None returned.
        """
        with disk_errors(self.root):
            return self._find(recipe.kind, recipe.key)

    def make(self, recipe: Recipe, build: Callable[[Path], None]) -> Path:
        """Find the artifact, or build it under its lock: of two processes one builds, the other waits and finds.

        ``build`` writes files into the empty folder it is given. Whatever it raises passes through, and nothing
        is left behind. Raises StoreError when the disk is full or the store cannot be written.
        """
        found = self.find(recipe)
        if found is not None:
            return found
        with self.lock(recipe.key):
            return self._find(recipe.kind, recipe.key, is_locked=True) or self._put(recipe, build, 0.0)

    def put(self, recipe: Recipe, build: Callable[[Path], None], *, seconds: float = 0.0) -> Path:
        """Write an artifact without taking its lock, whole or not at all; one that already exists wins.

        ``seconds`` is its cost, for artifacts computed together; 0 = the time that ``build`` took.
        """
        return self._put(recipe, build, seconds, is_locked=False)

    def _put(
        self, recipe: Recipe, build: Callable[[Path], None], seconds: float, *, is_locked: bool = True
    ) -> Path:
        target = self._folder(recipe.kind, recipe.key)
        with disk_errors(self.root), temporary_folder(self.root) as folder:
            started = time.perf_counter()
            build(folder)
            cost = seconds or time.perf_counter() - started
            seal(folder, recipe, seconds=cost, created=time.time())
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.rename(target)
            except OSError:
                if self._find(recipe.kind, recipe.key, is_locked=is_locked) is None:
                    folder.rename(target)  # what lay there was damaged and is set aside
            # Power may fail before the rename is on the disk: then the artifact is absent, but never half there.
            past = {"name": recipe.name, "key": recipe.key, "seconds": cost, "parts": as_plain(recipe.parts)}
            self._replace(self._past_file(recipe), json.dumps(past))
        _verified[target] = stamps(target)
        return target

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold an operating-system lock by name, shared with other processes; freed even by ``kill -9``."""
        file = self._lock_file(name)
        held = FileLock(file)
        with disk_errors(self.root):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.acquire(timeout=_PATIENCE)
            except Timeout:
                log.warning("Another run is making what this one needs next; waiting for it.")
                held.acquire()
        try:
            yield
        finally:
            held.release()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder on the store's disk, gone after the block; after a kill the next process removes it."""
        with disk_errors(self.root), temporary_folder(self.root) as folder:
            yield folder

    def why(self, recipe: Recipe) -> str:
        """Why the artifact would be made now, or ``"in the store"``."""
        if (self._folder(recipe.kind, recipe.key) / LABEL).exists():
            return "in the store"
        past = self._past(recipe)
        if past is None:
            return "never made before"
        if past["key"] == recipe.key:
            return "made before, but no longer in the store"
        return explain_change(past["parts"], recipe.parts)

    def seconds(self, recipe: Recipe) -> float | None:
        """What the artifact cost when it, or the last one of its kind and name, was made; None if never."""
        past = self._past(recipe)
        return past["seconds"] if past else None

    def point(self, name: str, recipe: Recipe) -> None:
        """Let the pointer ``name`` lead to the recipe's artifact from now on, atomically."""
        with disk_errors(self.root):
            text = json.dumps({"kind": recipe.kind, "key": recipe.key, "name": recipe.name})
            self._replace(self._pointer(name), text)

    def pointed(self, name: str) -> Path | None:
        """Folder of the artifact that the pointer leads to; None if there is no pointer or no artifact."""
        try:
            facts = json.loads(self._pointer(name).read_text(encoding="utf-8"))
            return self._find(facts["kind"], facts["key"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            log.warning("The pointer %s is unreadable and counts as absent.", self._pointer(name))
            return None

    def size(self) -> tuple[KindSize, ...]:
        """Number and bytes of the artifacts by kind; what was set aside as damaged is a kind of its own."""
        sizes: dict[str, list[int]] = {}
        for artifact in stored_artifacts(self.root):
            sizes.setdefault(artifact.kind, []).append(artifact.n_bytes)
        return tuple(KindSize(kind, len(sizes[kind]), sum(sizes[kind])) for kind in sorted(sizes))

    def prune(
        self,
        *,
        kinds: Collection[str] = (),
        unused_days: float | None = None,
        is_unneeded_only: bool = False,
        is_dry_run: bool = True,
    ) -> tuple[StoredArtifact, ...]:
        """Remove the artifacts for which every given criterion holds, and return them.

        Parameters
        ----------
        kinds
            Kinds to take from, ``"damaged"`` included; none given = all.
        unused_days
            Only what no process made or first read for so many days.
        is_unneeded_only
            Keep what a pointer or the newest artifact of any name leads to, directly or through other artifacts.
        is_dry_run
            Only say what would go. Do not prune while another run reads the store.

        Raises
        ------
        StoreError
            When no criterion is given: an empty store is made by deleting its folder.
        """
        if not kinds and unused_days is None and not is_unneeded_only:
            raise StoreError(
                "Nothing says what to prune.",
                expected="a kind, a number of unused days, or only what is not needed",
                todo=f"to remove everything, delete the folder {self.root}",
            )
        chosen = tuple(
            artifact
            for artifact in stored_artifacts(self.root)
            if (not kinds or artifact.kind in kinds)
            and (unused_days is None or artifact.unused_days >= unused_days)
            and not (is_unneeded_only and artifact.is_needed)
        )
        for artifact in () if is_dry_run else chosen:
            self._remove(artifact.folder)
        return chosen

    def discard(self, recipe: Recipe) -> None:
        """Remove an artifact that nothing will ask for again, if it is there."""
        with suppress(FileNotFoundError):
            self._remove(self._folder(recipe.kind, recipe.key))

    def _remove(self, folder: Path) -> None:
        with disk_errors(self.root), self.lock(folder.name), temporary_folder(self.root) as aside:
            folder.rename(aside / "removed")  # gone in one step, and emptied with what it lies in
            # Still held: whoever waits for this file finds it gone and takes the next one.
            self._lock_file(folder.name).unlink(missing_ok=True)

    def _find(self, kind: str, key: str, *, is_locked: bool = False) -> Path | None:
        folder = self._folder(kind, key)
        try:
            seen = stamps(folder)
            if not seen or _verified.get(folder) != seen or not (folder / LABEL).is_file():
                verify(folder, key)
                _verified[folder] = seen
                with suppress(OSError):  # a store on a read-only disk can be read all the same
                    os.utime(folder / LABEL)
            return folder
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Damage as damage:
            if is_locked:
                self._set_aside(folder, damage)
                return None
        # Another process may be replacing it: only the holder of its lock may move it.
        with self.lock(key):
            return self._find(kind, key, is_locked=True)

    def _set_aside(self, folder: Path, damage: Damage) -> None:
        aside = self.root / "damaged" / f"{folder.parent.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
        with disk_errors(self.root):
            aside.mkdir(parents=True)
            folder.rename(aside / folder.name)
        log.warning(
            "The artifact %s is damaged (%s). It was moved to %s and will be made again.",
            folder,
            damage,
            aside,
        )

    def _past(self, recipe: Recipe) -> dict[str, Any] | None:
        """Key, parts and seconds of what was made last under the recipe's name; None if nothing was.

        They only explain and estimate; an unreadable file costs an explanation, never a result.
        """
        try:
            facts = json.loads(self._past_file(recipe).read_text(encoding="utf-8"))
            return {"key": facts["key"], "parts": facts["parts"], "seconds": float(facts["seconds"])}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _past_file(self, recipe: Recipe) -> Path:
        return self.root / "names" / recipe.kind / f"{digest_json(recipe.name)}.json"

    def _folder(self, kind: str, key: str) -> Path:
        return Path(self.root, "artifacts", kind, key)

    def _lock_file(self, name: str) -> Path:
        return self.root / "locks" / f"{name if name.isalnum() else digest_json(name)}.lock"

    def _pointer(self, name: str) -> Path:
        return self.root / "pointers" / f"{name}.json"

    def _replace(self, file: Path, text: str) -> None:
        """Replace a small file so that readers see the old one or the new one.

        It is not flushed: what an unlucky power failure can cost is an explanation or a pointer, not a result.
        """
        write_atomically(file, text, unfinished=own_folder(self.root), is_durable=False)
