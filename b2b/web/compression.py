"""Style sheets, scripts and the inbox's APIs go out packed to whoever takes gzip.

Pages do not: they hold tokens beside words that anybody may have written, and the size of both
packed together would tell of the tokens.
"""

import gzip
import zlib
from functools import lru_cache

from flask import Flask, Response, request

LEAST = 1_024
"""Bytes below which packing saves nothing."""
MOST = 4 * 1024 * 1024
_ROOMS = ("mailpit", "inbox_api")
_TYPES = frozenset(("text/css", "text/javascript", "application/javascript", "application/json"))


def register(app: Flask) -> None:
    """Bind the packing of responses."""
    app.after_request(_pack)


def _pack(response: Response) -> Response:
    room = (request.endpoint or "").partition(".")[0]
    if room != "static" and room not in _ROOMS:
        return response
    if response.status_code != 200 or response.mimetype not in _TYPES:
        return response
    response.vary.add("Accept-Encoding")
    length = response.content_length or 0
    is_whole = "Content-Encoding" not in response.headers and "Range" not in request.headers
    if not is_whole or not LEAST <= length <= MOST or not request.accept_encodings["gzip"]:
        return response
    response.direct_passthrough = False
    content = response.get_data()
    response.set_data(_packed(content) if room == "static" else _quickly(content))
    response.headers["Content-Encoding"] = "gzip"
    if etag := response.get_etag()[0]:
        response.set_etag(f"{etag}-gzip")
    return response


@lru_cache(maxsize=128)
def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)


def _quickly(content: bytes) -> bytes:

    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()
