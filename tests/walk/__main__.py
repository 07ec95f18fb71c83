"""Walk over every model type and record the outcomes: `python -m tests.walk [TYPE...]` (needs transformers and torch).

The records are committed: a type that reconciles must never drop out (test_walk.py).
"""

from __future__ import annotations

import sys

from tests.walk.build import MAPPINGS, model_types
from tests.walk.record import outcome_now, recorded, write


def main() -> None:
    for kind in MAPPINGS:
        outcomes = recorded(kind) if sys.argv[1:] else {}
        for model_type in sorted(set(model_types(kind)) & set(sys.argv[1:] or model_types(kind))):
            outcomes[model_type] = outcome_now(model_type, kind)
            print(kind, model_type, outcomes[model_type].status, file=sys.stderr)
        write(kind, outcomes)


if __name__ == "__main__":
    main()
