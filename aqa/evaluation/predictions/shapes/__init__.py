"""The table of other tools' formats; to add one, add a function to a file here."""

from aqa.data.shape import shapes_in
from aqa.evaluation.predictions.shapes import batches, harnesses, readers, traces

# The first match, in the order of the functions, reads a row; others have plain columns.
SHAPES = shapes_in(harnesses, batches, readers, traces)
