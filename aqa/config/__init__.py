"""What a run is told to do: options, config files, and what is shipped with aqa."""
