"""The server process: sockets, the ASGI application, playback of planned responses."""
