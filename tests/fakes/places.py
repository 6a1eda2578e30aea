"""Where things lie for the tests."""

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
FAKES = TESTS / "fakes"
ORACLES = TESTS / "oracles"
#: Images, weights and published results that not everybody has: tests that need them skip.
SHARED = Path(os.environ.get("NEURONYM_CHECK_DATA", ROOT.parent / "shared" / "data"))
