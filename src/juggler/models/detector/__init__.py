"""How a detector of records is made: its plan, its lessons, and the honest protocol."""
