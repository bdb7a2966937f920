"""Backends, one file each: each offers `BACKEND`, see `juggler.runtime.session.Backend`.

Contract: `contracts_backends.py`.
"""
