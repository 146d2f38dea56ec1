"""From prediction files to scores, comparisons and reports."""
