"""Settings, the artifact store, parallel tasks, progress and errors: nothing in here knows what is being computed."""

from typing import TYPE_CHECKING

from engine._lazy import lazy_face

if TYPE_CHECKING:
    from engine._cli import as_typed, room_app, run_room, settings_of
    from engine._code import cached_digest, code_digest, digested_elsewhere, whole_files
    from engine._console import PIPED_WIDTH, Screen, console, out, stage_progress
    from engine._embeddings import (
        EmbeddingTable,
        WorkingSet,
        bucket_order,
        load_tables,
        save_tables,
        working_sets,
    )
    from engine._errors import (
        ConfigError,
        DataError,
        SamewiseError,
        StoreError,
        TableError,
        TaskError,
        did_you_mean,
    )
    from engine._lazy import loaded_at
    from engine._measure import StageCost, measure_stage
    from engine._plain_files import import_plain_files
    from engine._settings import (
        FeatureSettings,
        FoldSettings,
        PrerankSettings,
        SampleSettings,
        Settings,
        load_settings,
    )
    from engine._store import (
        Json,
        Recipe,
        Store,
        digest_json,
        library_versions,
        sync_folder,
        write_atomically,
    )
    from engine._tasks import Job, Task, capped_threads, refuse_newer_code, run_jobs, run_tasks

__all__ = [
    "PIPED_WIDTH",
    "ConfigError",
    "DataError",
    "EmbeddingTable",
    "FeatureSettings",
    "FoldSettings",
    "Job",
    "Json",
    "PrerankSettings",
    "Recipe",
    "SamewiseError",
    "SampleSettings",
    "Screen",
    "Settings",
    "StageCost",
    "Store",
    "StoreError",
    "TableError",
    "Task",
    "TaskError",
    "WorkingSet",
    "as_typed",
    "bucket_order",
    "cached_digest",
    "capped_threads",
    "code_digest",
    "console",
    "did_you_mean",
    "digest_json",
    "digested_elsewhere",
    "import_plain_files",
    "lazy_face",
    "library_versions",
    "load_settings",
    "load_tables",
    "loaded_at",
    "measure_stage",
    "out",
    "refuse_newer_code",
    "room_app",
    "run_jobs",
    "run_room",
    "run_tasks",
    "save_tables",
    "settings_of",
    "stage_progress",
    "sync_folder",
    "whole_files",
    "working_sets",
    "write_atomically",
]

lazy_face(__name__)
