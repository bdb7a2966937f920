"""What other hardware would take: matrix products, systolic arrays, memory hierarchies, dataflows."""
