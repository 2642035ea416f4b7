"""Aspect sentiment triplet extraction with a dual encoder over syntax and semantics (D2E2S).

The first access to a public name registers the classes with `AutoConfig`, `AutoModel` and `AutoProcessor`, and the
pipeline; until then neither torch nor transformers is imported.
"""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The files that travel with a checkpoint lie inside this folder in a wheel, beside it in a clone. This comes before
# every other import.
if not Path(__file__).with_name("modeling_d2e2s.py").is_file():
    __path__.append(str(Path(__file__).parents[1]))

if TYPE_CHECKING:
    from .box import reviews_en as reviews_en
    from .collator_d2e2s import DataCollatorForTripletExtraction as DataCollatorForTripletExtraction
    from .configuration_d2e2s import D2E2SConfig as D2E2SConfig
    from .modeling_d2e2s import D2E2SForTripletExtraction as D2E2SForTripletExtraction
    from .modeling_d2e2s import D2E2SModel as D2E2SModel
    from .pipeline_d2e2s import TripletExtractionPipeline as TripletExtractionPipeline
    from .prediction.columns import mapper as mapper
    from .prediction.predict import load_pipeline as load_pipeline
    from .prediction.writers import TRIPLETS as TRIPLETS
    from .processing_d2e2s import D2E2SProcessor as D2E2SProcessor
    from .training.arguments import TripletTrainingArguments as TripletTrainingArguments
    from .training.models import build_model as build_model
    from .training.trainer import TripletTrainer as TripletTrainer

__version__ = "0.1.0"

# Public name: module that defines it.
_HOMES = {
    "TRIPLETS": "prediction.writers",
    "D2E2SConfig": "configuration_d2e2s",
    "D2E2SForTripletExtraction": "modeling_d2e2s",
    "D2E2SModel": "modeling_d2e2s",
    "D2E2SProcessor": "processing_d2e2s",
    "DataCollatorForTripletExtraction": "collator_d2e2s",
    "TripletExtractionPipeline": "pipeline_d2e2s",
    "TripletTrainer": "training.trainer",
    "TripletTrainingArguments": "training.arguments",
    "build_model": "training.models",
    "load_pipeline": "prediction.predict",
    "mapper": "prediction.columns",
    "reviews_en": "box",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _register()
    globals()[name] = value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


@cache
def _register() -> None:
    """Make `AutoModel` and `pipeline` know the classes of this package, which then need no `trust_remote_code`."""
    from transformers import AutoConfig, AutoModel, AutoProcessor
    from transformers.pipelines import PIPELINE_REGISTRY

    from .configuration_d2e2s import D2E2SConfig
    from .modeling_d2e2s import D2E2SForTripletExtraction
    from .pipeline_d2e2s import TASK, TripletExtractionPipeline
    from .processing_d2e2s import D2E2SProcessor

    AutoConfig.register(D2E2SConfig.model_type, D2E2SConfig)
    AutoModel.register(D2E2SConfig, D2E2SForTripletExtraction)
    AutoProcessor.register(D2E2SConfig, D2E2SProcessor)
    PIPELINE_REGISTRY.register_pipeline(TASK, TripletExtractionPipeline, pt_model=AutoModel, type="text")
