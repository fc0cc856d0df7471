"""Runs: their folders, scores, pictures and comparisons."""
