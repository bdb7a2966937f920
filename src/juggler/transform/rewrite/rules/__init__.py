"""Rewriting rules, one file each: each offers `RULE`, see `juggler.transform.rewrite.rule.Rule`.

Contract: `contracts_rules.py`.
"""
