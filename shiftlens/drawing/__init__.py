"""Every figure of a run, by name."""
