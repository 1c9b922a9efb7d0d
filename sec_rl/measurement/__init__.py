"""Clocks and counts: accuracy of a file, latency, size, and what they were measured on."""
