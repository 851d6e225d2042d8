"""Side-by-side measurements of speed and memory against a named peer, in one run."""
