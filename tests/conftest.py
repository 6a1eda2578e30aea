"""What holds for all tests."""

import os

# One thread for each process: tests run side by side, and idle threads of one would keep the
# others waiting. Torch reads it when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests side by side are told the width of their terminal, which nothing they print has to fit in.
os.environ.pop("COLUMNS", None)
