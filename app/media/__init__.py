"""Threads and frames: codecs and devices."""
