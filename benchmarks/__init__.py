"""Measurements, and the literal formulation that they and the tests compare with."""
