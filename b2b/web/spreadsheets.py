"""Lists as CSV files: streamed, and harmless when a spreadsheet opens them (threats.md, CSV-2)."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from flask import Response, stream_with_context

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_BEFORE = " \u00a0\u3000\"'\ufeff"
_LINES = 200


def harmless(text: str) -> str:
    """*text* with an apostrophe before it where a spreadsheet would take it for a formula."""
    rest = text.lstrip(_BEFORE)
    return f"'{text}" if rest.startswith(_FORMULA) or text.startswith(_FORMULA) else text


def download(name: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Response:
    """A file *name*.csv of *head* and *rows*, written while it is sent: UTF-8 with a mark that
    spreadsheets look for, every field quoted.
    """

    def lines() -> Iterator[str]:
        buffer = io.StringIO()
        writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
        buffer.write("\ufeff")
        writer.writerow(head)
        for count, row in enumerate(rows, start=1):
            writer.writerow([harmless(field) for field in row])
            if count % _LINES == 0:
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue()

    response = Response(stream_with_context(lines()), mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response
