"""Tree to disk, all or nothing (P3).

First a plan that a person can read (``plan_checkout``), then every content
staged and verified on the same file system (``stage``), then the switch
(``finish``), which can be killed anywhere and started again.
"""

from confstream.checkout.finish import Finished, finish
from confstream.checkout.marker import Marker, unfinished
from confstream.checkout.plan import Action, Owner, Verb, plan_checkout, shown
from confstream.checkout.stage import stage
from confstream.checkout.state import discard_staging, exclusive, prepare_state_dir, state_owner

__all__ = [
    "Action",
    "Finished",
    "Marker",
    "Owner",
    "Verb",
    "discard_staging",
    "exclusive",
    "finish",
    "plan_checkout",
    "prepare_state_dir",
    "shown",
    "stage",
    "state_owner",
    "unfinished",
]
