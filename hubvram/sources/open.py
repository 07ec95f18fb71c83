"""Find the source that answers: a folder, the Hub, and where the Hub does not answer, what is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hubvram.errors import FileMissingError, GatedRepoError, HubBusyError, OfflineError, UnreachableError
from hubvram.sources.cached import find_cached
from hubvram.sources.interface import CONFIG_FILE, CONFIG_LIMIT_BYTES, ModelSource
from hubvram.sources.kept import KeptSource
from hubvram.sources.local import LocalSource
from hubvram.sources.network import Network
from hubvram.sources.reference import HubReference, LocalReference, parse_reference
from hubvram.sources.settings import is_offline
from hubvram.sources.snapshot import find_snapshot

if TYPE_CHECKING:
    from hubvram.sources.hub import HubSource

_REASONS: Final = {OfflineError: "offline mode is on", HubBusyError: "the Hub cannot answer for now"}
_DEFAULT: Final = Network()


def open_source(model: str, revision: str | None = None, network: Network = _DEFAULT) -> ModelSource:
    """The source for what the user wrote.

    Raises UsageError, or a ModelUnreadableError where no source can answer.
    """
    reference = parse_reference(model, revision)
    if isinstance(reference, LocalReference):
        return LocalSource(reference.folder)
    try:
        hub = _asked(reference, network)
    except UnreachableError as error:
        source = _without_the_hub(reference, error)
        if source is None:
            raise
        return source
    return _opened(hub, reference)


def _asked(reference: HubReference, network: Network) -> HubSource:
    if network.offline or is_offline():
        raise OfflineError(reference.repo_id, reference.revision)
    from hubvram.sources.hub import HubSource  # HTTP, which takes longer to import than an offline answer takes

    return HubSource.open(reference.repo_id, reference.revision, network)


def _without_the_hub(reference: HubReference, error: UnreachableError) -> ModelSource | None:
    """What this machine has of the model; what is known with its headers comes before what is not."""
    reason = _REASONS.get(type(error), "the Hub could not be reached")
    remembered = KeptSource.remembered(reference.repo_id, reference.revision, error, reason)
    return (
        find_cached(reference.repo_id, reference.revision, reason)
        or (remembered if remembered is not None and remembered.holds_headers else None)
        or find_snapshot(reference.repo_id, reference.revision, reason)
        or remembered
    )


def _opened(hub: HubSource, reference: HubReference) -> ModelSource:
    """The Hub itself where it opens the files; else what stands in for them.

    A gated repo without a stand-in is returned all the same: its listing and its summary are public.
    """
    if not hub.summary or not hub.summary.gated:
        return hub
    try:
        hub.read(CONFIG_FILE, CONFIG_LIMIT_BYTES)
    except GatedRepoError as error:
        reason = "the repo is gated and " + ("this token has no access" if error.token_sent else "no token was given")
        return _stand_in(hub, reference, reason) or hub
    except FileMissingError:
        return hub
    return hub


def _stand_in(hub: HubSource, reference: HubReference, reason: str) -> ModelSource | None:
    cached = find_cached(reference.repo_id, hub.revision, reason)
    if cached is not None:
        cached.requested_revision = hub.requested_revision
        return cached
    snapshot = find_snapshot(hub.model_id, reference.revision, reason)
    if snapshot is None:
        return None
    verdict = "agree with" if snapshot.agrees_with(hub.files) else "DIFFER from"
    snapshot.notes += (f"its file sizes {verdict} what the Hub lists at {(hub.revision or '')[:7]}",)
    return snapshot
