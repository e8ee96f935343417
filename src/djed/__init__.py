"""Djed proves that software stacks work, and how fast, on the hardware people really have."""

__all__ = ["__version__"]

__version__ = "0.1.0"
