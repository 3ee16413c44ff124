"""What confstream knows of applications: one YAML file each, read when it is asked for.

Names are imported when they are used: ``profiles.signs`` alone costs next to nothing (P2).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from confstream.profiles.profile import Profile, Recognised, load, names, recognise

__all__ = ["Profile", "Recognised", "load", "names", "recognise"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'confstream.profiles' has no attribute {name!r}")
    # P2: neither yaml nor dataclasses is imported where only the signs are asked for.
    from confstream.profiles import profile  # noqa: PLC0415

    found: object = getattr(profile, name)
    return found


def __dir__() -> list[str]:
    return __all__
