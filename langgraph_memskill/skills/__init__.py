"""Memory skills: the bank, SKILL.md files, the packs that come with the package, and the linter.

`rules` says what is valid and what is good, `files` and `folder` read and write
SKILL.md, `packaged` finds the packs, `statistics` holds the formulas, `bank` brings them together.
"""
