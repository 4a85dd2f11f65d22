"""``python -m reparam`` is ``reparam``."""

import sys

from reparam.cli.main import main

sys.exit(main())
