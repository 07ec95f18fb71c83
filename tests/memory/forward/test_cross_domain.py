"""doge's experts of one row and one column, term by term by hand."""

from __future__ import annotations

from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.forward.cross_domain import play_cross_domain
from tests.memory.forward.test_programs import peak_of, sizes


def test_experts_of_a_row_and_a_column() -> None:
    mlp = MoEMLP(
        hidden_size=100,
        num_experts=27,
        num_experts_per_tok=3,
        moe_intermediate_size=1,
        hidden_act="silu",
        shared_expert_intermediate_size=400,
    )
    # 5 keys for each half, and 25 pairs: scores as made and sorted, of pairs, and of 3 chosen, with their weights.
    scores = 2 * 5 + 2 * 5 + 25 + 3 + 3 + 3
    # Places of halves, of pairs, and of the chosen among pairs and among experts.
    places = 2 * 5 + 25 + 2 * 3
    # Rows and columns of 3, what they say; act(gate), up and their product.
    said = peak_of(lambda run: play_cross_domain(run, mlp), sizes(7, 3))
    assert said == 21 * (8 * places + 2 * (scores + 2 * 3 * 100 + 100 + 3 * 400))
