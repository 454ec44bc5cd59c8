"""The command line: arguments -> settings -> run -> render -> exit code, and nothing else."""
