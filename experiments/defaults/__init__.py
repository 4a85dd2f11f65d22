"""The plain command on data that nobody tuned for, beside classical models and a grid of settings.

    python -m experiments.defaults --data-dir DIR
    python -m experiments.defaults --group tables --contenders gaussian mixture --seeds 0 1 2
    python -m experiments.defaults --page

A row is one set, one seed and one contender. Each is a line of ``docs/defaults/CONTENDER.jsonl``,
written as soon as it is finished; rows that are there are skipped. ``--page`` writes
``docs/defaults.md`` from them.
"""
