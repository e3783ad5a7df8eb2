"""The baseline of tokens: a Flask view that reads a form, signs once with RSA-2048 and answers in
JSON, with no middleware and no database.
"""

import base64
import json
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from flask import Flask, Response, jsonify, request

from b2b import server

_KEY = rsa.generate_private_key(65537, 2048)


def build(port: int, workers: int) -> Flask:
    """The app, to be served as ours is."""
    app = Flask(__name__)
    app.config.update(
        HOST="127.0.0.1",
        PORT=port,
        WEB_WORKERS=workers,
        WEB_THREADS=4,
        SHUTDOWN_GRACE=1,
        HTTPS=False,
    )

    @app.post("/signed")
    def signed() -> Response:
        payload = json.dumps({"for": request.form["client_id"], "roles": ["x" * 20] * 20}).encode()
        made = _KEY.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        text = b".".join(base64.urlsafe_b64encode(part) for part in (payload, made))
        return jsonify({"access_token": text.decode()})

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    return app


if __name__ == "__main__":
    server.run(build(int(sys.argv[1]), int(sys.argv[2])))
