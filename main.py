"""Train, evaluate, sample and restore: python main.py --config=FILE --workdir=DIR [--mode=train|eval|sample|restore]."""

from score_sde import cli

if __name__ == "__main__":
    cli.main()
