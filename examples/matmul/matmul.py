"""A performance indicator: the rate of a dense matrix product, as JSON on stdout.

The product of two n x n matrices takes n²(2n - 1) operations: n multiplications and n - 1 additions for each of n² entries.
"""

import json
import os
import statistics
import sys
import time

import numpy as np

SIZE = int(os.environ.get("MATMUL_MATRIX_SIZE", "512"))
REPETITIONS = int(os.environ.get("MATMUL_REPS", "200"))
DTYPE = os.environ.get("MATMUL_DTYPE", "float32")


def measure(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> float:
    """Seconds of one product."""
    start = time.perf_counter()
    np.matmul(left, right, out=out)
    return time.perf_counter() - start


def main() -> None:
    generator = np.random.default_rng(seed=1)
    left, right = (generator.random((SIZE, SIZE)).astype(DTYPE) for _ in range(2))
    out = np.empty_like(left)

    # The first products load code and wake the CPU; they are not what is asked for.
    for _ in range(5):
        measure(left, right, out)
    seconds = statistics.median(measure(left, right, out) for _ in range(REPETITIONS))
    operations = SIZE * SIZE * (2 * SIZE - 1)

    print(f"NumPy {np.__version__}, {SIZE} x {SIZE} {DTYPE}", file=sys.stderr)
    report = {
        "name": "PiMatmul",
        "component": "numpy",
        "@parameters": {"dtype": DTYPE, "device": "cpu", "reps": REPETITIONS, "matrix_size": SIZE},
        "@result": {"rate": operations / seconds / 1e9, "elapsed": seconds * 1e3},
    }
    print(json.dumps(report))


main()
