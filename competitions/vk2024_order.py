"""The files of the VK RecSys Challenge 2024, simulated with effects of order: rows have a session and a position."""

from __future__ import annotations

from dataclasses import replace

import dataframely as dy

from competitions import vk2024


class Interactions(vk2024.Interactions):
    """One clip shown to a user, with what is seen of it by then."""

    session = dy.UInt16(description="of the user, larger for a later one")
    position = dy.UInt16(description="in the session, from 1")


VK2024_ORDER = replace(
    vk2024.VK2024,
    name="vk2024_order",
    title="VK RecSys Challenge 2024, simulated with effects of order: clips in sessions",
    interactions=Interactions,
    leave_out=[pattern for pattern in vk2024.VK2024.leave_out if pattern != "given*"],
)
