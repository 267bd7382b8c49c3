"""Settings of a stack of two columns, which is run within seconds."""

_OFF = [f"models.{name}" for name in ("taste", "catboost", "channel_net")]
_OFF += [f"blenders.{name}" for name in ("weights", "score_weights", "level_two", "catboost_oof")]
SMALL = [
    'features.include=["like_rate__source_id", "relevance_rate__item_id"]',
    *(f"{name}.enabled=false" for name in _OFF),
    'backend="inline"',
    "threads=1",
]
