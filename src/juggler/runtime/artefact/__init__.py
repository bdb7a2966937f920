"""The artefact: one ONNX file that holds a detector whole."""
