"""firstedge: recommendations from the first edge on."""

from firstedge._version import __version__

__all__ = ["__version__"]
