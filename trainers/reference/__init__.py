"""The paper's own checkpoints, read as data: no pickle of theirs is ever executed.

`pickles` reads the file, `content` says what it means, `importing` writes it in our formats.
"""
