"""Run an experiment: ``python -m experiments NAME``, the same as ``reparam reproduce NAME``."""

import sys

from reparam.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["reproduce", *sys.argv[1:]]))
