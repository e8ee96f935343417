"""Doors for users of the older systems: what they ask is translated, what they get has their form. Nothing here reaches past the engine."""
