"""Campaigns: what is measured next, by whom, and where it is kept."""
