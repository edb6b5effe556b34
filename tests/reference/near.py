"""By how much numbers that were recorded may differ from the same numbers computed here, and why.

Processors and releases of torch add in another order, so they round differently. The rounding error of a sum is a share
of its largest terms, not of the sum: what comes out near zero has lost its last digits, and in networks most numbers
are such sums. So a difference is measured as a share of the largest value of the whole array, never element by element.
"""
import numpy as np

# Computed in single precision. 2e-5 is the most that was seen between a processor with AVX-512, the same one kept to
# SSE 4.1 or AVX2, and the one that recorded.
SINGLE = 1e-4
# Computed in double precision here, so that the processor does not show; what remains is the rounding of the libraries,
# which end or work in single precision. 7e-6 is the most that was seen.
DOUBLE = 1e-5


def relative_difference(ours, theirs):
    """Largest |ours - theirs| over largest |theirs|; infinite if nan, inf and -inf do not stand in the same places."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape, f"shapes {ours.shape} and {theirs.shape}"      # or numpy would stretch one
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True) or not np.isfinite(ours[finite]).all():
        return np.inf
    largest = np.abs(theirs[finite]).max(initial=0)
    return np.abs(ours - theirs)[finite].max(initial=0) / (largest or 1)
