"""`python -m tests.linears` prints measured beside said; `--run` measures first.

That needs torch, bitsandbytes and hqq, and no GPU: what is measured is what the Python code allocates that these tools
have for CUDA. It runs on a CPU's tensors, with kernels that do nothing.
"""

from __future__ import annotations

import argparse

from tests.linears.record import recorded, said_bytes, write


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.linears", description=__doc__)
    parser.add_argument("--run", action="store_true", help="measure, and write the record")
    if parser.parse_args().run:
        from tests.linears.live import measured

        write(measured())
    print(f"{'scheme':10} {'dtype':5} {'tokens':>6} {'in':>5} {'out':>5} {'measured':>10} {'said':>10}")
    for row in recorded():
        print(
            f"{row.scheme:10} {row.dtype:5} {row.tokens:6} {row.in_features:5} {row.out_features:5} "
            f"{row.peak_bytes:10,} {said_bytes(row):10,}"
        )


if __name__ == "__main__":
    main()
