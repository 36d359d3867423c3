"""Standard output and standard error: streams, progress bars, Ctrl-C."""
