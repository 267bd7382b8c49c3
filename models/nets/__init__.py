"""Nets over pairs: inputs, batches, losses, training, and trained nets. Imported when a fit asks for them."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from models.nets.inputs import Encoder
    from models.nets.losses import Groups, NetLoss, loss_of
    from models.nets.net import ConcatNet, NetShape, reproducible
    from models.nets.rows import RowsInFile, gather_rows
    from models.nets.trained import FittedNet, TrainedNet
    from models.nets.training import NetData, Training, train_net

__all__ = [
    "ConcatNet",
    "Encoder",
    "FittedNet",
    "Groups",
    "NetData",
    "NetLoss",
    "NetShape",
    "RowsInFile",
    "TrainedNet",
    "Training",
    "gather_rows",
    "loss_of",
    "reproducible",
    "train_net",
]

lazy_face(__name__)
