"""Random input, made from what is valid: `python -m tests.fuzz [--seconds 20] [header|config]`.

Every input has a number, from which it can be made again: `--seed NUMBER --cases 1`.
"""
