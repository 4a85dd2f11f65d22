"""Figures of the estimators on other people's data, by published protocols.

    python -m experiments.own_data imputation outliers --data-dir DIR --seeds 0 1
    python -m experiments.own_data codes counts

Each figure is one line of ``docs/own-data/PROTOCOL.jsonl``, with its command, commit and machine.
Other libraries run beside ours, each in an environment of its own, which is made at the first use.
"""
