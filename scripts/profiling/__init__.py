"""Profiles of files on a laptop, by the code that profiles captured traffic."""
