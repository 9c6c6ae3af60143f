"""aiortc adapters: ICE, DTLS, SRTP, SCTP and RTP senders and receivers."""
