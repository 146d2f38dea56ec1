"""What readers with weights of their own share."""
