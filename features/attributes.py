"""What is known of the user and the item by themselves."""

import polars as pl

from features import per_pair


@per_pair
def user_age(age: pl.Expr) -> pl.Expr:
    """Age of the user in years; null if unknown."""
    return age


@per_pair
def user_gender(gender: pl.Expr) -> pl.Expr:
    """Gender of the user; null if unknown."""
    return gender


@per_pair
def user_occupation(occupation: pl.Expr) -> pl.Expr:
    """Occupation of the user; null if unknown."""
    return occupation


@per_pair
def item_year(release_year: pl.Expr) -> pl.Expr:
    """Year of the item's release; null if unknown."""
    return release_year


@per_pair
def item_genre(main_genre: pl.Expr) -> pl.Expr:
    """First genre of the item; null if unknown."""
    return main_genre


@per_pair
def item_n_genres(genres: pl.Expr) -> pl.Expr:
    """Number of the item's genres; null if unknown."""
    return genres.list.len().cast(pl.UInt8)


@per_pair
def item_duration(duration: pl.Expr) -> pl.Expr:
    """Duration of the item in seconds; null if unknown."""
    return duration


@per_pair(model_input=False)
def item_content(content: pl.Expr) -> pl.Expr:
    """Vector of the item's content, as the competition has it; null if unknown."""
    return content
