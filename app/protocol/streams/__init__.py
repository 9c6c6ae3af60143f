"""Finite text and byte transfers in data packets: header, chunks, trailer, or all in a header.

Decides how a payload is cut, in which form its recipients can read it, and when a received one
is whole or broken. Read splitter, negotiation, then assembler.
"""
