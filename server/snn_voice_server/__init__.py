"""The HTTP service over `snn_voice_hub`: `snn-voice serve`, or `snn_voice_server.app.create_app(model)`.

Nothing is imported here, so that the command line can offer `serve` where FastAPI is not installed.
"""
