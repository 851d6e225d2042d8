"""Work that is spread over the processes of a Ray cluster (extra `ray`).

A driver, the process that the user started, sends typed settings and ids to workers; a worker makes
its models from their names, once a process, with the keys of its own environment. What comes back
are results: the driver alone writes files.
"""
