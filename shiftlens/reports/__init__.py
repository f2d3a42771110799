"""One page of a run, of a demo, or of two runs side by side."""
