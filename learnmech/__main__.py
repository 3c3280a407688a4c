"""`python -m learnmech`: the command `learnmech`."""

from learnmech.cli import main

if __name__ == "__main__":
    main()
