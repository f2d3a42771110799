"""Language-specific neurons: found by activation entropy, scaled by hooks."""
