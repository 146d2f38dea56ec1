"""Words on the command line and on the terminal; nothing else imports this."""
