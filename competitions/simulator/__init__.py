"""A simulator."""

from competitions.simulator.feed import affinity
from competitions.simulator.simulate import Simulated, World, simulate
from competitions.simulator.world import MAX_DENSITY, SOURCE_SHARE, Floats, draw_clips, sizes_of

__all__ = [
    "MAX_DENSITY",
    "SOURCE_SHARE",
    "Floats",
    "Simulated",
    "World",
    "affinity",
    "draw_clips",
    "simulate",
    "sizes_of",
]
