"""Learners, one file each: each offers `LEARNER`, see `juggler.predict.learner.Learner`.

Contract: `contracts_learners.py`.
"""
