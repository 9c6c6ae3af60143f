"""What reaches the server over HTTP, and what it reports by HTTP.

Read `application.py` (the routes), `signal_socket.py` (a client's session), `room_service.py`
(the server API), `door.py` (people without a token), `webhooks.py` (reports).
"""
