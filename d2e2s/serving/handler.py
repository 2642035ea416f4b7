"""Serves the model of this folder on Hugging Face Inference Endpoints; it needs transformers only.

A request is `{"inputs": "a review"}`, or a list of reviews, with `"parameters"` as the pipeline takes them.
"""

from typing import Any

from transformers import pipeline

PARAMETERS = ("threshold", "top_k", "aspects", "return_terms", "return_tree", "window_words", "batch_size")
EXPECTED = f'expected {{"inputs": a text or a list of texts, "parameters": some of {", ".join(PARAMETERS)}}}'


class EndpointHandler:
    """Answers requests.

    Args:
        path: the folder of the model.
    """

    def __init__(self, path: str = ".") -> None:
        self.extract = pipeline(model=path, trust_remote_code=True)  # type: ignore[call-overload]

    def __call__(self, data: Any) -> Any:
        """The triplets of a text, or of each text of a list; `{"error": ...}` for what is no such request."""
        if problem := fault(data):
            return {"error": f"{problem}; {EXPECTED}"}
        try:
            return self.extract(data["inputs"], **(data.get("parameters") or {}))
        except ValueError as error:
            if type(error).__name__ != "UserError":  # the model's own code raises it, which cannot be imported here
                raise
            return {"error": str(error)}


def fault(data: Any) -> str:
    """What is wrong with a request, empty if nothing is."""
    if not isinstance(data, dict) or "inputs" not in data:
        return "no object with inputs"
    inputs, parameters = data["inputs"], data.get("parameters") or {}
    if not isinstance(inputs, str) and not (isinstance(inputs, list) and all(isinstance(text, str) for text in inputs)):
        return "inputs are no text and no list of texts"
    if not isinstance(parameters, dict):
        return "parameters are no object"
    unknown = [name for name in parameters if name not in PARAMETERS]
    return f"unknown parameter {unknown[0]!r}" if unknown else ""
