"""How skills evolve: hard cases, their diagnosis, the designer, and what it may change."""
