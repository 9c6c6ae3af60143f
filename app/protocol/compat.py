"""The versions that we announce on the wire; the product's own version is another matter.

Official SDKs read them: below 1.8.0 they refuse RPC, and a server version that is not strict
`x.y.z` aborts the Rust SDK. The protocol number promises behaviour to the other side, so it
rises only together with what it promises (the table is in the wire digest of this project).
"""

from __future__ import annotations

SERVER_COMPAT_VERSION = "1.13.0"
SERVER_PROTOCOL = 17
# In the welcome's `debug_info`, which nobody else reads: this server lets nobody write the
# attribute `lanai.role` but whoever signs tokens. Elsewhere everybody may call himself host.
KEEPS_ROLES = "lanai: keeps roles"
CLIENT_PROTOCOL = 16

# What our engine announces as `client_protocol`: 1 promises RPC over streams, 2 a payload inside
# a stream's header. Compressed streams are a capability beside it.
DATA_PROTOCOL = 2
DATA_CAPABILITIES = ("CAP_COMPRESSION_DEFLATE_RAW",)

# Clients announcing at least this much are told about requests that went well.
OK_RESPONSE_PROTOCOL = 15

# Clients announcing at least this much read the action of a `leave`.
LEAVE_ACTION_PROTOCOL = 13
