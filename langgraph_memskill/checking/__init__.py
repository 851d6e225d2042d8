"""What can be wrong with stored memories: finding it, and repairing what is safe to repair."""
