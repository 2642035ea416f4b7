"""Tables, generated parts of hand-written pages, and the styles and scripts of whole ones."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from ..data_scripts.files import write_text
from ..errors_d2e2s import UserError

TEMPLATES = Path(__file__).parent / "templates"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, one line a row; a cell may hold anything but a line break."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n" for cells in lines)


def write_between_marks(page: Path, name: str, text: str) -> None:
    """Replace what stands between the page's lines `<!-- name:begin -->` and `<!-- name:end -->`.

    Raises:
        UserError: the page has no such lines.
    """
    begin, end = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    old = page.read_text(encoding="utf-8")
    if not pattern.search(old):
        raise UserError(f"{page}: no line {begin.strip()} followed by {end}")
    write_text(page, pattern.sub(lambda _: begin + text + end, old))


def asset(name: str) -> Markup:
    """A file of the folder `templates` as it stands: our own style or script."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def style(*names: str) -> Markup:
    """The colours, light and dark, and the style sheets that use them."""
    return Markup("").join(asset(name) for name in ("colours.css", *names))
