"""A number that was estimated from samples, with its standard error."""

from typing import NamedTuple

from scipy.stats import norm


class Estimate(NamedTuple):
    """An estimate and its standard error; None where none can be given."""

    value: float
    standard_error: float | None = None

    def interval(self, level: float = 0.9) -> tuple[float, float] | None:
        """The interval that contains the true value with this probability, if the estimate is normal."""
        if self.standard_error is None:
            return None
        half = float(norm.ppf(0.5 + level / 2)) * self.standard_error
        return self.value - half, self.value + half
