"""Media of a room: packets come in by uptracks, leave by downtracks; `app.sfu` decides.

Read `media` first (one participant: demux and feedback), then `uptrack` (one publication),
`fanout` (one plaintext for many subscribers, sent in batches), `downtrack` (one subscription),
`room_media` (timers and speakers). Everything lives on the server's loop. Per packet there is
no task, no await and no log line.

Decisions: a subscriber's packets are those of its fan-out group, which is everybody on the
same layer with equal payload types, SSRC and SRTP profile. Only subscribers that have changed
layers are patched one by one. Header extensions are not forwarded: subscribers find media by
SSRC, and the dependency descriptor of one layer would be wrong after a switch.
"""
