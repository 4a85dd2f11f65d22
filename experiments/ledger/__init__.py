"""The ledger: figures with their targets and their provenance, for experiments and benchmarks.

``rows`` has figures and tables, ``provenance`` the machine and the commit, ``records`` stored
measurements, ``registry`` the experiments, ``protocol`` and ``run`` one run of an experiment,
``page`` the page of stored results, and ``command`` the command line. Only ``protocol`` and ``run``
import torch.
"""
