"""Checks of single numbers that a user hands in."""

import numpy as np


def check_seed(seed):
    """Raises `ValueError` unless `seed` is an int, 0 or more."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed {seed!r}: it has to be a whole number, 0 or more")


def check_number(name, value, most=np.inf, above=False, below=False):
    """Raises `ValueError` unless `value` is a finite number in [0, most]; without 0, if `above`,
    or without `most`, if `below`."""
    number = isinstance(value, int | float | np.number) and np.isfinite(value)
    if not number or not 0 <= value <= most or (above and not value) or (below and value == most):
        wanted = "above 0" if above else "of 0 or more"
        if np.isfinite(most):
            wanted += f" and {'below' if below else 'at most'} {most:g}"
        raise ValueError(f"{name} {value!r}: a number {wanted} is needed")


def check_count(name, value):
    """Raises `ValueError` unless there is something to do, a whole number of times."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} {value!r}: at least 1 is needed, a whole number")
