r"""An invented short-video service, in the files of the VK RecSys Challenge 2024, with its truth beside them.

Who is there (``world.py``). As many users, clips and sources per row as in the challenge; fewer than 8.5 M
rows get more of all three, so that the log is at most 4 % of all (user, clip) pairs. ``N`` is a normal variable of
variance 1 (a vector of 12 of them where tastes and flavours are meant), ``t`` Student's with 4 degrees of freedom.

- Taste of user u at week w: ``taste = sqrt(.2) segment + sqrt(.4) core + sqrt(.4) drift(w)``; ``segment`` is that of
  the gender and age band, ``drift(w + 1) = .75 drift(w) + sqrt(1 - .75^2) N``; straight lines between the weeks.
- Clip of source s: ``vector = sqrt(.8) flavour(s) + sqrt(.2) N``: 80 : 20; ``quality = sqrt(.5) (quality(s) + N)``.
  Content vector: ``vector @ W + 1.5 sqrt(.5) (N(s) + N)``, 32 numbers. Clips of a source: Zipf, ``1 / (rank + 5)^.9``.
- Activity of a user: log-normal (sigma 1.2), newly drawn each week (.4); 12 % of the users join later.
- Reach of a clip: ``log popularity = .5 N(s) + N + .3 quality``.

Who sees what, and when (``feed.py``). Each (user, clip) has one appointment, ``birth +
life * delay``; the delay is a mixture of two Gamma(2), drawn by a hash of the pair: so a clip is born, peaks and fades,
and no user gets it twice. Births are spread from four weeks before the log to half a week into the test week; ``life``
is log-normal (median .8 weeks, sigma .6). In a week a user has candidates: clips drawn by popularity that have their
appointment with the user in it, 2.5 for each row. The feed shows the best by ``.6 belief + .3 quality + Gumbel noise``,
which is drawing without replacement in proportion to ``exp(.6 belief + .3 quality)``; ``belief`` is the affinity as it
was when the week began. A row happens at the end of the user's interval between sessions (2 to 50 a week) that has the
appointment in it. No user's week has more than 35 % of the clips that could be met in it.

What comes of it (``reactions.py``). ``affinity = taste . vector / sqrt(12)``, at that moment;
``appeal = 1.35 affinity + .5 quality + .7 exp(-age in weeks) + .15 z(age of the user) log(duration / 24.5)``.

- ``logit p_like = like(u) + appeal`` and ``logit p_dislike = dislike(u) - .8 appeal + .5 polarity(s)``.
- Readiness: ``like(u) = -5 + .8 eager + .9 t``, ``dislike(u) = -6.4 + .6 eager + 1.1 t``, each with a little of gender
  and age, and 3 less for a silent fifth of the users.
- A like and a dislike are independent given these, so a few rows have both: ``p_like - p_dislike`` is the expected
  relevance where such a row counts as 0.
- Shares and bookmarks are rarer and follow ``appeal + like``.
- ``timespent = 1.3 duration * logistic(N(u) + .8 (appeal + like - dislike) - .6 log(duration / 24.5) + 1.2 N - .5)``.

The log is six weeks. ``test_pairs.csv`` has the first 20 rows in week 7 of users with at least 20 rows and a like or a
dislike in it: as many users per row of the log as in the challenge, or all there are. The same rows, seed, parts and
library versions give the same bytes: each chunk of users in a week has its own random numbers, and the number of rows
alone says where chunks are cut.

That is the world of *tastes*. The world of *topics* (``topics.py``; ``simulate --world topics``) writes the same files
by another process: mixtures of topics, saturation, boredom, contagion, frequent likes. Effects of order (``order.py``;
``simulate --effects boredom,mood,contagion,position``) are added to the world of tastes: there what users saw and did
just before changes what they like, and rows have a session and a position in it.

Three foreign layouts (``simulate lists | clicks | ratings``; files of these names) look like other competitions' data:
impression lists by session, a feed with clicks and hates, ratings with texts. Nothing here reads them:
``python -m competitions new`` writes what does.
"""

from competitions.simulator.ceiling import STATISTICIAN, Ceiling, ceiling, origin_of, statistician_scores
from competitions.simulator.feed import affinity
from competitions.simulator.order import EFFECTS, OrderWorld
from competitions.simulator.simulate import LAYOUTS, ORDER_BLIND, Simulated, log_frames, simulate
from competitions.simulator.tastes import World
from competitions.simulator.topics import TopicWorld
from competitions.simulator.world import MAX_DENSITY, SOURCE_SHARE, Floats, draw_clips, sizes_of

__all__ = [
    "EFFECTS",
    "LAYOUTS",
    "MAX_DENSITY",
    "ORDER_BLIND",
    "SOURCE_SHARE",
    "STATISTICIAN",
    "Ceiling",
    "Floats",
    "OrderWorld",
    "Simulated",
    "TopicWorld",
    "World",
    "affinity",
    "ceiling",
    "draw_clips",
    "log_frames",
    "origin_of",
    "simulate",
    "sizes_of",
    "statistician_scores",
]
