"""English words that say nothing about what a text is about."""

_WORDS = """a about above after again all also am an and any are aren't as at be because been before
being both but by can can't could couldn't did didn't do does doesn't doing don't down even ever
every few for from had has have haven't having he he's her here hers him his how i i'd i'll i'm
i've if in into is isn't it it'll it's its just let let's like lot lots many may me might more
most much must my myself never no nor not now of off oh on one only or other our out over own
quite rather really same she she's should so some such than that that's the their them then
there there's these they they're thing things this those though through to too under until up
us very was wasn't way we we'll we're we've well were what what's when where which while who why
will with won't would yet you you'd you'll you're you've your yours yourself get gets getting
got go goes going gonna keep kinda make makes made makin' know think take took say said see
something someone anything everything stuff bit sure still always around"""

STOP_WORDS = frozenset(_WORDS.split())
"""In lower case, with straight apostrophes."""
