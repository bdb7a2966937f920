"""The hardware survey, in words and pictures."""
