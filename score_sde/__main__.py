"""python -m score_sde: the command ``score_sde``."""

from score_sde.cli import main

if __name__ == "__main__":
    main()
