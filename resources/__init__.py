"""Icons, fonts and strings, read through importlib.resources."""
