"""Training: one loop, its schedules, what watches it, and its checkpoints."""
