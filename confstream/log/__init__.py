"""The replica's log: ``reader`` reads it, ``publisher`` alone decides the order of writes on it.

FORMAT.md states that order as numbered invariants (I1 …).
"""
