"""Try a checkpoint in the browser: triplets of a review, or of a file of reviews.

d2e2s demo --model outputs/14res --port 7860
"""

import argparse
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported

import gradio as gr
import transformers
from datasets import Features
from markupsafe import Markup

from d2e2s import TripletExtractionPipeline
from d2e2s.box import REVIEWS_EN
from d2e2s.errors import UserError
from d2e2s.prediction.predict import load_pipeline, predicted
from d2e2s.prediction.readers import read_table
from d2e2s.prediction.tables import FORMATS, OUTPUT_COLUMN, Columns, rows_of, text_of
from d2e2s.prediction.text_lines import TEXT_COLUMN
from d2e2s.prediction.writers import TRIPLET_COLUMNS, TRIPLETS, triplet_cells, write_table
from d2e2s.reporting import drawing
from d2e2s.reporting.markdown import asset, style
from d2e2s.summaries.counts import Review, Summary
from d2e2s.summaries.figures import Figures, praise_and_blame
from d2e2s.summaries.page import STYLES, content

EXAMPLES = [
    ["The food was great but the service was slow.", ""],
    ["The battery lasts long and the keyboard is comfortable. The screen is dim, though.", ""],
    ["Our waiter was friendly, the soup was cold and the wine was nothing special.", "soup, wine"],
    ["The view is wonderful; the rooms are small and the breakfast is average.", ""],
]
USUAL_TEXT_COLUMNS = (TEXT_COLUMN, "review", "sentence", "comment")
HEADING = "# What do people say about what?\nAspects, opinions about them, and their sentiment, from raw text."
MOST_ROWS = 5000
THEME = gr.themes.Default(primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
STYLE = """
.gradio-container { width: 100%; max-width: 60rem; margin: 0 auto; }
#sentence { padding: .5rem .25rem; font-size: 1.15rem; }
"""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
LIVE: dict[str, Any] = {**PRIVATE, "show_progress": "hidden", "trigger_mode": "always_last"}
Found = dict[str, Any]


@contextmanager
def told_mistakes(path: str | None = None) -> Iterator[None]:
    """Tell the user of a mistake; a file by its own name, not by where it lies here."""
    try:
        yield
    except (UserError, OSError) as error:
        said = str(error).replace(path, Path(path).name) if path else str(error)
        raise gr.Error(said, print_exception=False) from None


class Demo:
    """What the app does with one checkpoint.

    The model runs once, at threshold 0; what it found goes with the user's session, and moving the threshold only
    chooses from it.
    """

    def __init__(self, extract: TripletExtractionPipeline) -> None:
        self.extract = extract
        self.config = extract.model.config

    def api(self, text: str, threshold: float | None = None, aspects: list[str] | None = None) -> list[dict[str, Any]]:
        """Triplets of a text, as the pipeline gives them; `aspects`: only these."""
        return self.extract(text, threshold=threshold, aspects=aspects or None)

    def read(self, text: str, aspects: str) -> Found:
        """Every triplet of a text, whatever its score, and the tree of each of its sentences."""
        wanted: dict[str, Any] = {"aspects": names(aspects), "return_tree": self.config.uses_parser}
        with told_mistakes():
            if not text.strip():
                raise UserError("Type or paste a review first.")
            return {"text": text, **self.extract(text, threshold=0.0, return_terms=True, **wanted)}

    def show(self, found: Found | None, threshold: float) -> tuple[str, str]:
        """The text with the triplets that reach the threshold, and their table."""
        if found is None:
            return "", ""
        triplets = at_least(found["triplets"], threshold)
        return drawing.sentence(found["text"], triplets), drawing.table(TRIPLET_COLUMNS, map(triplet_cells, triplets))

    def trees(self, found: Found) -> str:
        """The predicted dependency trees."""
        sentences = found.get("tree", [])
        parts = ([[word[name] for word in words] for name in ("text", "head", "deprel")] for words in sentences)
        return Markup("").join(drawing.tree(words, heads, deprels) for words, heads, deprels in parts)

    def read_file(self, path: str | None, column: str, aspects: str) -> Found:
        """Every triplet of every row of a file."""
        with told_mistakes(path):
            if path is None:
                raise UserError("Drop a file first.")
            table = read_table(path)
            table.batches = list(limited(table.batches))  # too many are told before the model runs
            batches = list(predicted(self.extract, table, column, threshold=0.0, aspects=names(aspects)))
            folder = tempfile.TemporaryDirectory(prefix="d2e2s-")  # goes when the session does
            found = {"features": table.features, "batches": batches, "empty": table.empty}
            return {**found, "folder": folder, "column": column}

    def show_file(self, found: Found | None, threshold: float) -> tuple[str, str, str | None, str | None]:
        """What is said about each aspect, what it is of, and the results as CSV and JSONL."""
        if found is None:
            return "", "", None, None
        batches = [kept(batch, threshold) for batch in found["batches"]]
        paths = [str(Path(found["folder"].name) / name) for name in ("triplets.csv", "triplets.jsonl")]
        for path in paths:
            write_table(path, batches, Features({**found["features"], OUTPUT_COLUMN: TRIPLETS}))
        reviews = (Review(text_of(row[found["column"]]), row[OUTPUT_COLUMN]) for row in rows_of(batches))
        summary = Summary().add(reviews)
        good, bad = praise_and_blame(self.config.sentiment_labels, None, None)
        page = content(Figures(summary, 1, good, bad))  # as `d2e2s summarize` writes it, of every aspect
        said = f"{summary.triplets} triplets in {summary.reviews} rows"
        said += f"; rows without text: {found['empty']}" if found["empty"] else ""
        return page, said, paths[0], paths[1]


# --- from what was found to what is shown


def names(aspects: str) -> list[str] | None:
    """Aspects that are parted by commas; None if there is none."""
    return [aspect.strip() for aspect in aspects.split(",") if aspect.strip()] or None


def at_least(triplets: Iterable[Found], threshold: float) -> list[Found]:
    return [triplet for triplet in triplets if triplet["score"] >= threshold]


def kept(batch: Columns, threshold: float) -> Columns:
    return {**batch, OUTPUT_COLUMN: [at_least(triplets, threshold) for triplets in batch[OUTPUT_COLUMN]]}


def limited(batches: Iterable[Columns]) -> Iterator[Columns]:
    """The batches.

    Raises:
        ValueError: more than `MOST_ROWS` rows.
    """
    rows = 0
    for batch in batches:
        rows += len(next(iter(batch.values())))
        if rows > MOST_ROWS:
            raise UserError(f"more than {MOST_ROWS} rows: too many for the demo, use d2e2s predict FILE --out FILE")
        yield batch


def columns_of(path: str | None) -> Any:
    """The choice of the text column for a file that was dropped."""
    if path is None:
        return gr.update(choices=[TEXT_COLUMN], value=TEXT_COLUMN)
    with told_mistakes(path):
        columns = list(read_table(path).features)
    usual = [name for name in USUAL_TEXT_COLUMNS if name in columns]
    return gr.update(choices=columns, value=(usual or columns)[0])


# --- the app


def build(demo: Demo) -> gr.Blocks:
    """The app; its one public endpoint is `/extract`."""
    with gr.Blocks(title="D2E2S", analytics_enabled=False, delete_cache=(3600, 3600)) as app:
        gr.Markdown(HEADING)
        with gr.Row():
            threshold = round(demo.config.decision_threshold, 3)
            lowest = gr.Slider(0, 1, threshold, step=0.001, label="Lowest score", min_width=120, elem_id="threshold")
            aspects = gr.Textbox(
                label="Only these aspects", placeholder="food, service", min_width=120, elem_id="aspects"
            )
        with gr.Tab("A review"):
            review_tab(demo, lowest, aspects)
        with gr.Tab("A file"):
            file_tab(demo, lowest, aspects)
        gr.api(demo.api, api_name="extract")
    return app


def picture(name: str) -> gr.HTML:
    """A place for what `drawing` makes, which brings its own style."""
    return gr.HTML(elem_id=name, apply_default_css=False)


def review_tab(demo: Demo, lowest: gr.Slider, aspects: gr.Textbox) -> None:
    review = gr.Textbox(label="Review", lines=3, max_lines=12, value=EXAMPLES[0][0], elem_id="review")
    button = gr.Button("Extract", variant="primary", elem_id="extract")
    found = gr.State()
    sentence, table = picture("sentence"), picture("triplets")
    with gr.Accordion("Dependency tree", open=False, visible=demo.config.uses_parser):
        tree = picture("tree")
    gr.Examples(EXAMPLES, [review, aspects])
    for event in (button.click, review.submit, aspects.submit):
        read = event(demo.read, [review, aspects], found, scroll_to_output=True, **PRIVATE)
        read.success(demo.show, [found, lowest], [sentence, table], **PRIVATE)
        read.success(demo.trees, found, tree, **PRIVATE)
    lowest.change(demo.show, [found, lowest], [sentence, table], **LIVE)


def file_tab(demo: Demo, lowest: gr.Slider, aspects: gr.Textbox) -> None:
    file = gr.File(label=f"Reviews: {', '.join(FORMATS)}", file_types=list(FORMATS), elem_id="file")
    column = gr.Dropdown([TEXT_COLUMN], value=TEXT_COLUMN, label="Column with the text", elem_id="column")
    button = gr.Button("Extract", variant="primary", elem_id="extract-file")
    found = gr.State()
    chart, summary = picture("chart"), gr.Markdown(elem_id="summary")
    with gr.Row():
        downloads = [gr.DownloadButton(f"Results as {kind}", elem_id=kind.lower()) for kind in ("CSV", "JSONL")]
    outputs = [chart, summary, *downloads]
    file.change(columns_of, file, column, **PRIVATE)
    read = button.click(demo.read_file, [file, column, aspects], found, **PRIVATE)
    read.success(demo.show_file, [found, lowest], outputs, **PRIVATE)
    lowest.change(demo.show_file, [found, lowest], outputs, **LIVE)


def launch(model: str, host: str | None = None, port: int | None = None, **options: Any) -> gr.Blocks:
    """Load a checkpoint and serve the app.

    Args:
        options: of `gr.Blocks.launch`.

    Raises:
        ValueError, OSError: see `load_pipeline`; or no free port.
    """
    app = build(Demo(load_pipeline(model)))
    app.launch(
        server_name=host,
        server_port=port,
        share=False,
        theme=THEME,
        # In the head, because Gradio rewrites the selectors of `css`.
        head=f"<style>{style(*STYLES)}{STYLE}</style><script>{asset('drawing.js')}</script>",
        max_file_size="20mb",
        footer_links=["api"],
        **options,
    )
    return app


def run(options: argparse.Namespace) -> None:
    """Serve the demo until it is stopped."""
    transformers.logging.disable_progress_bar()
    launch(options.model, options.host, options.port)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    model = os.environ.get("D2E2S_MODEL", REVIEWS_EN)
    add("--model", default=model, help="folder or Hub name of a checkpoint (default: $D2E2S_MODEL, or reviews-en)")
    add("--port", type=int, help="default: the first free one from 7860")
    add("--host", help="address to listen on (default: this computer only; 0.0.0.0: the whole network)")
