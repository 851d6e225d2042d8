"""ALFWorld as a benchmark: games played with memories of other games' trajectories."""
