"""What a kernel is: its fields, its sizes, timed samples, tables of many, a fitted roofline."""
