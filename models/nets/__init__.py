"""Nets over pairs: inputs, batches, losses, training, and trained nets. Imported when a fit asks for them."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from models.nets.inputs import Encoder, Scaler, Vocabulary
    from models.nets.losses import Batch, Groups, NetLoss, loss_of
    from models.nets.net import ConcatNet, NetShape, reproducible
    from models.nets.rows import NumberRows, RowsInFile, RowsInMemory, gather_rows
    from models.nets.trained import FittedNet, TrainedNet
    from models.nets.training import NetData, Outcome, Training, holdout_loss, train_net

__all__ = [
    "Batch",
    "ConcatNet",
    "Encoder",
    "FittedNet",
    "Groups",
    "NetData",
    "NetLoss",
    "NetShape",
    "NumberRows",
    "Outcome",
    "RowsInFile",
    "RowsInMemory",
    "Scaler",
    "TrainedNet",
    "Training",
    "Vocabulary",
    "gather_rows",
    "holdout_loss",
    "loss_of",
    "reproducible",
    "train_net",
]

lazy_face(__name__)
