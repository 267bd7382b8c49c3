"""What nets that rank need beside ``engine.nets``: groups, losses, training, fitted nets. Imported when a fit asks."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from models.ranking.losses import Groups, NetLoss, loss_of
    from models.ranking.sequences import FittedSequence, SequenceData, TrainedSequence, arrays_of
    from models.ranking.starts import start_table
    from models.ranking.trained import FittedNet, TrainedNet
    from models.ranking.training import NetData, Training, train_net

__all__ = [
    "FittedNet",
    "FittedSequence",
    "Groups",
    "NetData",
    "NetLoss",
    "SequenceData",
    "TrainedNet",
    "TrainedSequence",
    "Training",
    "arrays_of",
    "loss_of",
    "start_table",
    "train_net",
]

lazy_face(__name__)
