"""Trains, recovers and measures the dVAE of mel tokens."""
