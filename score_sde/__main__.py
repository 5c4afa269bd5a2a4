"""python -m score_sde: the command ``score_sde`` without an installation."""

from score_sde.cli import main

if __name__ == "__main__":
    main()
