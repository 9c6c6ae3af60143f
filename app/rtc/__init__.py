"""Transport for both sides: what turns datagrams into packets and messages, and back.

Shared by client and server, bottom up: `srtp` and `dtls` (over any wire), `sctp`, `data_channels`,
`stun`, `rtcp`. The server's half: `datagrams` (many per system call), `ice_lite`, `udp_mux`
(one port for everybody), `server_transport` (one participant). The client's half: `ice_agent`,
`client_transport`, `media_router`, `rtp_sender`, `rtp_receiver`, `frame_assembler`, `stats`.

Everything lives on one loop: the engine thread's, or the server's. Of aiortc we use the DTLS
handshake and certificates; SCTP is our own. Private names of aiortc's, and libsrtp's binding,
stay in here and have contract tests.

Decisions: aioice is not used. It hides loopback, has no lite mode and no restart, and its codec
costs 0.3 ms a request. Nor are aiortc's RTP objects: a task and several objects per packet
forward a tenth of what the server has to.
"""
