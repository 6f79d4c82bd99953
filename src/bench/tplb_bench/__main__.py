"""python3 -m tplb_bench."""

import sys

from tplb_bench.cli import main

sys.exit(main())
