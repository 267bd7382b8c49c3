"""Settings, the artifact store, parallel tasks, progress and errors: nothing in here knows what is being computed."""

from engine._atomic import sync_folder, write_atomically
from engine._cli import as_typed, room_app, run_room, settings_of
from engine._console import console, out
from engine._errors import ConfigError, DataError, SamewiseError, StoreError, TaskError, did_you_mean
from engine._fingerprint import CodeDigest, code_digest
from engine._lazy import lazy_face
from engine._libraries import library_versions
from engine._measure import StageCost, measure_stage
from engine._plain_files import import_plain_files
from engine._progress import stage_progress
from engine._pruning import KindSize, StoredArtifact
from engine._recipe import Json, Recipe, digest_json
from engine._settings import FeatureSettings, FoldSettings, SampleSettings, Settings, load_settings
from engine._store import Store
from engine._tasks import Job, Task, run_jobs, run_tasks

__all__ = [
    "CodeDigest",
    "ConfigError",
    "DataError",
    "FeatureSettings",
    "FoldSettings",
    "Job",
    "Json",
    "KindSize",
    "Recipe",
    "SamewiseError",
    "SampleSettings",
    "Settings",
    "StageCost",
    "Store",
    "StoreError",
    "StoredArtifact",
    "Task",
    "TaskError",
    "as_typed",
    "code_digest",
    "console",
    "did_you_mean",
    "digest_json",
    "import_plain_files",
    "lazy_face",
    "library_versions",
    "load_settings",
    "measure_stage",
    "out",
    "room_app",
    "run_jobs",
    "run_room",
    "run_tasks",
    "settings_of",
    "stage_progress",
    "sync_folder",
    "write_atomically",
]
