"""Chat models: from a model string, from several keys and servers, from a GGUF file, by vLLM."""

from langgraph_memskill.models.loading import (
    KEY_VARIABLE,
    MODEL_VARIABLE,
    is_extractive,
    load_model,
    model_name,
)

__all__ = ["KEY_VARIABLE", "MODEL_VARIABLE", "is_extractive", "load_model", "model_name"]
