"""`python -m smart_colab_executor`."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
