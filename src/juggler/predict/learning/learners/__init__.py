"""Learners, one file each: each offers `LEARNER`, see `juggler.predict.learning.learner.Learner`.

Contract: `contracts_learners.py`.
"""
