"""The version, in one place: the build backend and the command line read it here."""

__version__ = "0.1.0"
