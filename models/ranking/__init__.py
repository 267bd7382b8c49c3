"""What nets that rank need beside ``engine.nets``: groups, losses, training, fitted nets. Imported when a fit asks."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from models.ranking.item_vectors import ItemVectors
    from models.ranking.losses import Groups, NetLoss, loss_of
    from models.ranking.parameters import (
        CONTENT,
        CONTENTS,
        HISTORIES,
        Epochs,
        HistoryRows,
        Loss,
        NetParameters,
        Patience,
        Seeds,
        Share,
        StartColumn,
        TableRate,
        TableRule,
        TimeBudget,
        TowersParameters,
        Width,
        derived_parts,
        training_of,
        widths_of,
    )
    from models.ranking.sequences import (
        FittedSequence,
        SequenceData,
        TrainedSequence,
        content_encoder,
        shared_channels,
        with_histories,
    )
    from models.ranking.starts import start_scores, start_tables
    from models.ranking.towers import Blocks, FittedTowers, TowersLoss, TrainedTowers, fit_towers
    from models.ranking.trained import Average, FittedNet, TrainedNet, averaged
    from models.ranking.training import NetData, Training, train_net
    from models.ranking.transitions import FOLLOWS_LIKED, TRANSITION_ARRAYS, Transitions

__all__ = [
    "CONTENT",
    "CONTENTS",
    "FOLLOWS_LIKED",
    "HISTORIES",
    "TRANSITION_ARRAYS",
    "Average",
    "Blocks",
    "Epochs",
    "FittedNet",
    "FittedSequence",
    "FittedTowers",
    "Groups",
    "HistoryRows",
    "ItemVectors",
    "Loss",
    "NetData",
    "NetLoss",
    "NetParameters",
    "Patience",
    "Seeds",
    "SequenceData",
    "Share",
    "StartColumn",
    "TableRate",
    "TableRule",
    "TimeBudget",
    "TowersLoss",
    "TowersParameters",
    "TrainedNet",
    "TrainedSequence",
    "TrainedTowers",
    "Training",
    "Transitions",
    "Width",
    "averaged",
    "content_encoder",
    "derived_parts",
    "fit_towers",
    "loss_of",
    "shared_channels",
    "start_scores",
    "start_tables",
    "train_net",
    "training_of",
    "widths_of",
    "with_histories",
]

lazy_face(__name__)
