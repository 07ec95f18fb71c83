"""`python -m hubvram`: the same as the command."""

from hubvram.cli.app import main

if __name__ == "__main__":
    main()
