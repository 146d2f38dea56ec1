"""What readers that load their own weights have in common."""
