"""The local, durable side: what was captured or written, and what the replica does not hold yet.

Promises: what was committed here survives ``kill -9`` and power loss (P4);
what a fenced writer had not published stays (P5); its size is bounded (P14).
"""
