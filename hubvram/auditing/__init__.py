"""Many models: a stream of results and failures."""

from hubvram.auditing.audit import Audited, Reading, answers, audit, patient

__all__ = ["Audited", "Reading", "answers", "audit", "patient"]
