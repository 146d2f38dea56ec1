"""Build the prompts that readers get from examples."""
