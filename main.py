"""Train, evaluate and sample: python main.py --config=FILE --workdir=DIR [--mode=train|eval|sample]."""

from absl import flags

from score_sde import cli

flags.adopt_module_key_flags(cli)  # for --help

if __name__ == "__main__":
    cli.main()
