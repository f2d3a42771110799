"""Training with ShifCon: the step and its losses, the trainer around it, and its checkpoints."""
