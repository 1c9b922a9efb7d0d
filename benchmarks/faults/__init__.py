"""Faults that are really injected, in number: kills, damaged files, full disks, hostile files, fuzzed readers."""
