"""ALFWorld's text games: engines in processes of their own, actions, agents and trajectories.

Importing this package loads neither the engine nor torch; the engine needs the extra `alfworld`.
"""
