"""Decide whether and how to retrain, freeze the dataset, submit the Batch job, and show jobs over HTTPS."""
