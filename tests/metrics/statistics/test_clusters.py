import numpy as np

from aqa.metrics.statistics.clusters import Clusters


def test_equal_labels_are_one_group_wherever_they_are() -> None:
    clusters = Clusters.of(["x", "y", "x", "z", "y"], "title")
    assert (clusters.by, clusters.examples, clusters.count) == ("title", 5, 3)
    assert clusters.sizes.tolist() == [2, 2, 1]
    columns = np.array([[1.0, 10], [2, 20], [3, 30], [4, 40], [5, 50]])
    assert clusters.sums(columns).tolist() == [[4, 40], [7, 70], [4, 40]]


def test_examples_that_stand_for_themselves() -> None:
    clusters = Clusters.apart(3)
    assert (clusters.by, clusters.are_examples, clusters.count) == ("none", True, 3)
    columns = np.array([[1.0], [2], [3]])
    assert clusters.sums(columns) is columns
    assert Clusters.of("abc", "passage").are_examples


def test_a_part_of_the_examples() -> None:
    part = Clusters.of(["x", "y", "x", "z", "y"], "title").at([1, 3, 4])
    assert (part.by, part.codes.tolist(), part.count) == ("title", [0, 1, 0], 2)
    assert Clusters.apart(9).at([8, 2]).are_examples
