"""SCTP as data channels use it, without sockets, clock or chance (RFC 8831, 9260, 3758, 6525).

It decides what one end of an association says and what it hands up. Packets, time and random
numbers come in by method calls, packets and messages are fetched; nothing here raises anything
but `ProtocolError` on what a peer sends, and what a peer can make us keep is bounded.

Read `wire` (the bytes), `inbound` (numbers and reassembly), `congestion` and `outbound` (what may
leave, and again), `stream_reset`, then `association` (the state machine over them) and `channels`
(labels, DCEP). `app.rtc.data_channels` drives it all. Hot path throughout.

Decisions: ours rather than aiortc's, which takes a task switch a chunk, looks at everything it
has sent on every acknowledgement, keeps what it is given, and hangs on a repeated INIT. Messages
are not interleaved (RFC 8260): no SDK negotiates it, and a fair turn per message is enough when
none is larger than 64 kB. Nobody is given up by SCTP's own count of errors: ICE knows better.
"""
