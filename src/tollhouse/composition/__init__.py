"""Settings, what is built from them, and the processes: the only place where concrete things meet."""
