"""Benchmarks: loaders of public data sets, splits and scores."""
