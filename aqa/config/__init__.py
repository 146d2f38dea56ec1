"""What a run is to do: options, config files, and what is shipped with aqa."""
