"""Packs signed models for devices: a page that needs no server, and a file for phones and small machines."""
