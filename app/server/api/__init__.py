"""What reaches the server over HTTP, and what it reports by HTTP.

Read `application.py` (the routes), `signal_socket.py` (a session); `twirp.py` and `grants.py`
with the services `room_service.py`, `agent_dispatch.py`, `absent_services.py` (the server API);
`door.py` (people without a token), `host_door.py` (their host); `webhooks.py` and
`webhook_delivery.py` (reports).
"""
