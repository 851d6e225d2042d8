"""Memories out of a store into a file, and into a store from files and from other programs."""
