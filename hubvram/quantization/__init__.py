"""How weights are packed, and what they would take if they were."""
