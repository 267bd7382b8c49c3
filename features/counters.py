"""How often: exposures and reactions counted by key. No rows = 0."""

from features import Aggregate, Log, aggregate, count, horizon


@aggregate(
    keys=["user_id", "item_id", "source_id", "main_genre", "release_year", ("user_id", "main_genre"),
          ("user_id", "source_id"), ("user_id", "duration_bucket"), ("age_group", "item_id"),
          ("gender", "item_id")],
)  # fmt: skip
def n_exposures(log: Log) -> Aggregate:
    """Number of exposures (rows of the log) of the key; 0 if never seen."""
    return count()


@aggregate(keys=["user_id", "item_id", "source_id", ("user_id", "source_id")], lookbacks=[horizon(1)])
def n_recent_exposures(log: Log) -> Aggregate:
    """Number of exposures of the key within the last horizon; 0 if none."""
    return count()


@aggregate(
    keys=["user_id", "item_id", "main_genre", ("gender", "item_id"), ("user_id", "main_genre"),
          ("user_id", "source_id"), ("user_id", "duration_bucket")],
)  # fmt: skip
def n_likes(log: Log) -> Aggregate:
    """Number of likes of the key; 0 if none."""
    return count(log.like)


@aggregate(
    keys=[
        "user_id",
        "item_id",
        "source_id",
        "main_genre",
        ("user_id", "main_genre"),
        ("user_id", "source_id"),
    ]
)
def n_dislikes(log: Log) -> Aggregate:
    """Number of dislikes of the key; 0 if none."""
    return count(log.dislike)
