"""Inference from labels of a few answers; coverage is in tests/benchmarks/labelling."""

import numpy as np
import pytest

from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.label_sampling import labelled_mean


@pytest.mark.parametrize("sign", [1, -1])
def test_no_difference_is_beyond_what_differences_can_be(sign: int) -> None:
    known, errors = np.full(50, 90.0 * sign), np.full(30, 10.0 * sign)
    found = labelled_mean(known, np.arange(30), errors, np.full(30, 0.3), Clusters.apart(50))
    assert found is not None
    assert found.value == 100 * sign
    assert -100 <= found.low < found.high <= 100
