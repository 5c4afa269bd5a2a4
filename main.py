"""Train, evaluate, sample, restore, edit: python main.py --config=FILE --workdir=DIR [--mode=...]; see --help."""

from score_sde import cli

if __name__ == "__main__":
    cli.main()
