"""What predictions are worth: from prediction files to scores, comparisons and reports."""
