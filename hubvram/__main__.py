"""`python -m hubvram`: the same as the command."""

import sys


def main() -> None:
    """The command's entry point: an interrupt while it is being imported is one too."""
    try:
        from hubvram.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
