"""Nets: inputs, tables and layers, and training until a hold-out turns. Imported when a fit asks for them."""

from typing import TYPE_CHECKING

from engine._lazy import lazy_face

if TYPE_CHECKING:
    from engine.nets.histories import Histories, HistoryEncoder, Vectors
    from engine.nets.inputs import Encoder, Frame, Scaler, Vocabulary
    from engine.nets.net import ConcatNet, NetShape, reproducible
    from engine.nets.rows import NumberRows, RowsInFile, gather_rows
    from engine.nets.sequence import (
        N_TIMES,
        CrossLayers,
        HstuBlock,
        SequenceInputs,
        SequenceNet,
        SequenceShape,
        SoftmaxBlock,
        time_buckets,
    )
    from engine.nets.towers import ContextShape, Said, Tower, TowerShape, TowersInputs, TowersNet, TowersShape
    from engine.nets.training import Course, Rates, Stepper, train_until

__all__ = [
    "N_TIMES",
    "ConcatNet",
    "ContextShape",
    "Course",
    "CrossLayers",
    "Encoder",
    "Frame",
    "Histories",
    "HistoryEncoder",
    "HstuBlock",
    "NetShape",
    "NumberRows",
    "Rates",
    "RowsInFile",
    "Said",
    "Scaler",
    "SequenceInputs",
    "SequenceNet",
    "SequenceShape",
    "SoftmaxBlock",
    "Stepper",
    "Tower",
    "TowerShape",
    "TowersInputs",
    "TowersNet",
    "TowersShape",
    "Vectors",
    "Vocabulary",
    "gather_rows",
    "reproducible",
    "time_buckets",
    "train_until",
]

lazy_face(__name__)
