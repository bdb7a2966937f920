"""ONNX graphs as data: read, edited, built, their metadata and their shapes."""
