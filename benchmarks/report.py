"""Results as JSON files, and tables of them in pages of the docs: what every benchmark writes with."""

from d2e2s.data_scripts.files import write_json as write_json
from d2e2s.reporting.markdown import markdown_table as markdown_table
from d2e2s.reporting.markdown import write_between_marks as write_between_marks
