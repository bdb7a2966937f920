"""Where alerts go, one file each: each offers `SINK`, see `juggler.alerts.sink.Sink`.

Contract: `contracts_sinks.py`.
"""
