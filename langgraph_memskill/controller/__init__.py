"""The controller: which skills to apply to a span (MemSkill, METHOD steps 2 to 5).

`state` builds its input, `policy` is the network, `distribution` the ordered choice without
replacement, `selectors` puts them together for the rest of the package, `files` saves and loads.
Only `policy` and `distribution` import torch at the top.
"""
