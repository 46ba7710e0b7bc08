"""Serve the live models: Open Inference Protocol v2, with a signed receipt on every answer."""
