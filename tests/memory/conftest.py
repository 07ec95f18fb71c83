"""Laws are checked on models that are read when first asked for: no deadline for a single example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no-deadline", settings(deadline=None))
settings.load_profile("no-deadline")
