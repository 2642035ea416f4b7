"""The Space of the metric: two boxes of JSON in, the scores out.

Not `evaluate.utils.launch_gradio_widget`: it needs `gradio.inputs`, which Gradio 4 took away.
"""

import json
from pathlib import Path

import evaluate
import gradio as gr

EXAMPLE = [[{"aspect": [1, 2], "opinion": [3, 4], "sentiment": "POS"}]]

metric = evaluate.load(str(Path(__file__).with_name("aste.py")), keep_in_memory=True)


def score(predictions: str, references: str) -> dict[str, float]:
    """Scores of two JSON texts: a list of sentences, each a list of triplets."""
    try:
        return metric.compute(predictions=json.loads(predictions), references=json.loads(references))
    except ValueError as error:  # malformed JSON is a ValueError too
        raise gr.Error(str(error)) from error


demo = gr.Interface(
    fn=score,
    inputs=[gr.Textbox(json.dumps(EXAMPLE), label=name, lines=6) for name in ("predictions", "references")],
    outputs=gr.JSON(label="scores"),
    title="ASTE",
    description=metric.description,
)

if __name__ == "__main__":
    demo.launch()
