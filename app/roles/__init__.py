"""One module per role of main.py: arguments, exit codes, printing."""
