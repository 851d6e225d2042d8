"""Running benchmarks: rows side by side, a cache of memories, resuming, and the result log."""
