"""Backends, one file each: each offers `BACKEND`, see `juggler.runtime.session.Backend`."""
