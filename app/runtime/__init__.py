"""Tasks, mailboxes, clock, settings, log: what every process needs."""
