"""Scripts that make the tables of `docs/results/`; run them as `python -m benchmarks.NAME`."""
