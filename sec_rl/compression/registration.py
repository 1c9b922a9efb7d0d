"""Makes transformers' Auto classes know the slim encoder."""

from __future__ import annotations

from transformers import AutoConfig, AutoModelForSequenceClassification

from sec_rl.compression.slim_config import SlimEncoderConfig
from sec_rl.compression.slim_encoder import SlimEncoderForSequenceClassification


def register() -> None:
    """Register configuration and model; calling it again changes nothing."""
    AutoConfig.register(SlimEncoderConfig.model_type, SlimEncoderConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(
        SlimEncoderConfig, SlimEncoderForSequenceClassification, exist_ok=True
    )
