"""Finite text and byte transfers in data packets: header, chunks, trailer (streams v1).

Decides how a payload is cut and when a received one is whole or broken. Read splitter, then
assembler.
"""
