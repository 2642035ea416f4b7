"""Aspect sentiment triplet extraction with a dual encoder over syntax and semantics (D2E2S).

Importing the package registers its classes with `AutoConfig`, `AutoModel` and `AutoProcessor`, and its pipeline.
"""

from pathlib import Path

# The modules that travel with a checkpoint lie flat in the parent folder (the repository, or site-packages), so
# both folders are searched. This has to come before every other import.
__path__ = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from transformers import AutoConfig, AutoModel, AutoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_d2e2s import D2E2SConfig
from .modeling_d2e2s import D2E2SForTripletExtraction, D2E2SModel
from .pipeline_d2e2s import TASK, TripletExtractionPipeline
from .processing_d2e2s import D2E2SProcessor, DataCollatorForTripletExtraction

__version__ = "0.1.0"
__all__ = [
    "D2E2SConfig",
    "D2E2SForTripletExtraction",
    "D2E2SModel",
    "D2E2SProcessor",
    "DataCollatorForTripletExtraction",
    "TripletExtractionPipeline",
]

AutoConfig.register(D2E2SConfig.model_type, D2E2SConfig)
AutoModel.register(D2E2SConfig, D2E2SForTripletExtraction)
AutoProcessor.register(D2E2SConfig, D2E2SProcessor)
PIPELINE_REGISTRY.register_pipeline(TASK, TripletExtractionPipeline, pt_model=AutoModel, type="text")
