"""How numbers and times are written in the terminal."""

from __future__ import annotations

from datetime import datetime

from submissions._manifest import CvScore

DASH = "–"


def number(value: float | None, digits: int = 4) -> str:
    """Write a score; a dash for none.

    >>> number(0.70123), number(None)
    ('0.7012', '–')
    """
    return DASH if value is None else f"{value:.{digits}f}"


def cv_words(score: CvScore | None) -> str:
    """Write mean and spread over the folds.

    >>> cv_words(CvScore(name="als", kind="model", folds={"fold1": 0.7}, mean=0.7, sd=None))
    '0.7000'
    """
    if score is None or score.mean is None:
        return DASH
    return number(score.mean) if score.sd is None else f"{score.mean:.4f} ± {score.sd:.4f}"


def ago(when: datetime, now: datetime) -> str:
    """Write how long ago something was.

    >>> from datetime import timedelta
    >>> now = datetime(2026, 11, 21, 20, 0)
    >>> [ago(now - timedelta(minutes=m), now) for m in (0, 5, 130, 3000)]
    ['just now', '5 min ago', '2 h ago', '2 d ago']
    """
    seconds = (now - when).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 2 * 86400:
        return f"{seconds // 3600:.0f} h ago"
    return f"{seconds // 86400:.0f} d ago"


def size(n_bytes: int) -> str:
    """Write a file's size.

    >>> size(96_300), size(12)
    ('96.3 kB', '12 bytes')
    """
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1e3:.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Write a wall time.

    >>> duration(0.42), duration(75.2)
    ('0.4 s', '1 min 15 s')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
