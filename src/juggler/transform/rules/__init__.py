"""Rewriting rules, one file each: each offers `RULE`, see `juggler.transform.rule.Rule`.

Contract: `contracts_rules.py`.
"""
