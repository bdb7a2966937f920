"""Networks: the blocks they are built of, families by name, and a network in one file."""
