"""What to forward, to whom, as what: sans-IO decisions of the SFU.

Time is an argument, media is bytes, nothing here waits. Read in this order: `reception` (what
arrived and what is missing), `numbering` (one unbroken stream per layer), `layer_selector`
(which layer for whom), `munger` (offsets of one subscriber), `history` (resends),
`keyframes` (when to ask), `speakers`, `blanks`.

Decisions: numbering is done in two steps. What every subscriber shares (padding removed,
silence inserted) happens once per layer, and its result is the plaintext that all of them get.
Only a subscriber that has changed layers carries offsets of its own.
"""
