"""Numbers of a training run: their names, where they are written to, and the page of curves."""
