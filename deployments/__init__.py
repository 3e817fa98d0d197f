"""What stays up or is scheduled: the command line, the local stack, the demonstration."""
