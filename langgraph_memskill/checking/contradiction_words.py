"""English words that decide whether two memories may contradict each other."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEGATIONS = _words("not no never none neither nor without nobody nothing hardly")
UNTELLING = _words(
    """
    do does did be is are was were been am has have had will would
    in on at of to for from with by as and or but this that these those it its their his her my
    our your now currently very really just still any longer anymore
    """
)
"""Words that tell two claims from each other in no way that matters here."""
OF_ONE_VALUE = _words(
    """
    live lives living reside resides works work working employed born birthday age old named name
    called married engaged favourite favorite based job title surname nickname native studies
    study major boss manager phone email address
    """
)
"""Words of what has one value at a time."""
OPPOSITES = (
    ("likes", "dislikes"),
    ("likes", "hates"),
    ("loves", "hates"),
    ("loves", "dislikes"),
    ("enjoys", "hates"),
    ("enjoys", "dislikes"),
    ("married", "single"),
    ("married", "divorced"),
    ("started", "stopped"),
    ("alive", "dead"),
    ("open", "closed"),
    ("accepted", "rejected"),
    ("employed", "unemployed"),
    ("won", "lost"),
    ("passed", "failed"),
)
