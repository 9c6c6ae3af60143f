"""What to forward, to whom, as what: sans-IO decisions of the SFU."""
