"""Find an official layout of a data set in a folder: all of its files, or a message about what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine import DataError

Layouts = Mapping[str, Sequence[str]]


def find_layout(folder: Path, layouts: Layouts) -> tuple[Path, ...]:
    """Return the files of the layout that the folder holds, in the order of the layout; none if there is no file.

    Parameters
    ----------
    folder
        The files lie in it, or in a subfolder that has the name of the layout.
    layouts
        The names of a layout's files by the name of the layout.

    Raises
    ------
    DataError
        A layout is there in part, or two of them.
    """
    found = {}
    for layout, names in layouts.items():
        for place in (folder, folder / layout):
            present = [name for name in names if (place / name).is_file()]
            if present and len(present) < len(names):
                missing = ", ".join(n for n in names if n not in present)
                raise DataError(
                    f"{place} holds {', '.join(present)}, but not {missing}.",
                    expected=f"the official {layout} layout: {', '.join(names)}",
                    todo="add the missing file, or set `data` in config.toml to a folder that is whole",
                )
            if present:
                found[place, layout] = tuple(place / name for name in names)
    if len(found) > 1:
        places = "; ".join(f"{layout} in {place}" for place, layout in found)
        raise DataError(
            f"Two data sets: {places}.", expected="one", todo="set `data` in config.toml to one of them"
        )
    return next(iter(found.values()), ())


def layouts_in_words(layouts: Layouts) -> str:
    """Name the files of every layout, for messages.

    >>> layouts_in_words({"small": ["a.csv"], "big": ["b.csv", "c.csv"]})
    'the official layout of small (a.csv) or big (b.csv, c.csv)'
    """
    words = (f"{layout} ({', '.join(names)})" for layout, names in layouts.items())
    return "the official layout of " + " or ".join(words)
