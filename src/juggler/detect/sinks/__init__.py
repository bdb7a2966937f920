"""Where alerts go, one file each: each offers `SINK`, see `juggler.detect.sink.Sink`.

Contract: `contracts_sinks.py`.
"""
