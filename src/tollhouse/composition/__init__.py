"""Settings, the objects built from them, and the processes: the only package that imports all others."""
