"""Between graphs and expressions: lift a region out, put a rewritten one back."""
