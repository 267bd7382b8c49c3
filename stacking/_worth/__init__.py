"""What features are worth to a model: gain, ablation, and the choice of a subset."""
