"""Train, evaluate and sample: python main.py --config=FILE --workdir=DIR [--mode=train|eval|sample]."""

from score_sde import cli

if __name__ == "__main__":
    cli.main()
