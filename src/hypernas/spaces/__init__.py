"""Search spaces: functions from choices to a module, found by name or in a user's file."""

from hypernas.spaces.space import Space, SpaceFunction, find, known

__all__ = ["Space", "SpaceFunction", "find", "known"]
