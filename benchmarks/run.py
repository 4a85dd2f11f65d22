"""Measure reparam beside a tutorial's loop, a loop by hand, pythae and the limit of the machine.

    python benchmarks/run.py --data-dir DIR --threads 2 --repeats 3
    python benchmarks/run.py throughput imports --data-dir DIR --resume
    python benchmarks/run.py --quick

All contenders of a job run one after the other, then again, so that a disturbance of the machine
affects all of them. Each is a separate process. Every finished piece is written at once, and
``--resume`` skips the pieces that exist.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.measure import main

    main(__doc__)
