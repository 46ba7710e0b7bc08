"""Figures against budgets, measured as ratios in one run; never a test."""
