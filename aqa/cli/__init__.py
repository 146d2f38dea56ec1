"""The command line and its terminal output; nothing else imports this."""
