"""Packs signed models for devices: a page that needs no server, and a file for phones and small machines."""

import pawl as pawl  # before onnxruntime, which it keeps from reporting
