"""Generators: what they may offer, and how they are loaded by name."""
