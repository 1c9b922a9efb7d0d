"""sec-rl: one synergy controller over the data ratio and the compression ratio of a BERT fine-tuning run."""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__"]
