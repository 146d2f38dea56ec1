"""How far chance reaches: the one engine of every interval and every p.

`clusters` tells which examples hang together, `intervals` how far a mean or a difference could be
off, `sign_flips` whether a difference could be chance, `power` which differences would be found.
"""
