"""The verbs of the command line, one file each: each offers `VERB`, a function that typer understands.

Contract: `test_cli_help.py`.
"""
