"""The process that serves: sockets, the ASGI application, playback of planned responses."""
