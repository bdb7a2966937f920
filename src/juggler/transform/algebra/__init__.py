"""The algebra of linear operations: tensors in, tensors out."""
