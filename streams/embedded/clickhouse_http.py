"""ClickHouse's HTTP interface over the embedded engine, so that every client works unchanged.

Not spoken: more users than the one of `Login`, sessions (each request stands alone), external tables, and the native
block compression of `compress=1`; HTTP compression (lz4, zstd, gzip, deflate) works in both directions.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import uuid
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
from aiohttp import web
from backports import zstd

from streams.embedded.clickhouse_engine import Answer, Engine, EngineError, Statement
from streams.embedded.login import Login, demand
from streams.embedded.ports import HOST

MAX_BODY_BYTES = 512 * 1024 * 1024
_WORKERS = 4  # chdb releases the GIL while it works; more threads only queue inside the engine
_COMPRESS_FROM_BYTES = 4_096

# consumed by the HTTP layer of a real server, or without meaning without one; everything else is a setting
_TRANSPORT = frozenset({
    "query", "database", "default_format", "query_id", "session_id", "session_timeout", "session_check", "user",
    "password", "quota_key", "role", "buffer_size", "wait_end_of_query", "compress", "decompress",
    "enable_http_compression", "client_protocol_version", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close", "close_session",
})  # fmt: skip

# ClickHouse's exceptionCodeToHTTPStatus, for the codes an embedded engine can raise; any other is a 500
_STATUS_BY_CODE = {
    **dict.fromkeys((16, 46, 47, 50, 56, 60, 73, 75, 81, 115), 404),
    **dict.fromkeys((6, 25, 26, 27, 33, 34, 36, 38, 41, 42, 43, 44, 53, 62, 69, 70, 72, 108, 117, 131, 456, 457), 400),
    48: 501,
    159: 408,
    202: 429,
    307: 413,
}

ENGINE = web.AppKey("ENGINE", Engine)
POOL = web.AppKey("POOL", ThreadPoolExecutor)


def build_app(engine: Engine, login: Login | None = None) -> web.Application:
    """The application over an open engine; it closes the engine when it ends."""
    checks = [] if login is None else [demand(login, frozenset({"/ping"}), _refuse)]
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=checks)
    app[ENGINE] = engine
    app[POOL] = ThreadPoolExecutor(_WORKERS, thread_name_prefix="clickhouse")
    app.router.add_get("/ping", _ping)
    app.router.add_route("*", "/", _query)
    app.on_cleanup.append(_close)
    return app


async def _ping(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")


def _refuse() -> web.Response:
    text = "Code: 516. DB::Exception: Authentication failed: password is incorrect, or there is no such user. "
    headers = {"X-ClickHouse-Exception-Code": "516"}
    return web.Response(status=403, text=text + "(AUTHENTICATION_FAILED)\n", headers=headers)


async def _close(app: web.Application) -> None:
    app[POOL].shutdown(wait=True)
    app[ENGINE].close()


async def _query(request: web.Request) -> web.Response:
    engine = request.app[ENGINE]
    try:
        statement = await _statement_of(request)
        if not statement.text.strip():
            return web.Response(text="Ok.\n")
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(request.app[POOL], partial(engine.run, statement))
    except EngineError as error:
        return _error_response(error, engine.version)
    return _response(request, answer)


async def _statement_of(request: web.Request) -> Statement:
    arguments = dict(request.query)
    if request.content_type == "multipart/form-data":
        arguments |= _form_fields(await request.post())
        body = b""
    else:
        body = _inflate(await request.read(), request.headers.get("Content-Encoding", ""))
    if arguments.get("decompress") == "1" or arguments.get("compress") == "1":
        raise EngineError("Code: 48. DB::Exception: The embedded ClickHouse speaks HTTP compression only. "
                          "(NOT_IMPLEMENTED)")  # fmt: skip
    query = arguments.get("query", "").encode()
    headers = request.headers
    settings = {name: text for name, text in arguments.items() if _is_setting(name)}
    if request.method == "GET":
        settings["readonly"] = "2"  # as a server does: a link in a page changes nothing
    return Statement(
        text=query + b"\n" + body if query and body else query or body,
        database=arguments.get("database", headers.get("X-ClickHouse-Database", "")),
        settings=settings,
        parameters={name[6:]: text for name, text in arguments.items() if name.startswith("param_")},
        default_format=arguments.get("default_format", headers.get("X-ClickHouse-Format", "TabSeparated")),
    )


def _form_fields(form: Mapping[str, object]) -> dict[str, str]:
    if any(not isinstance(value, str) for value in form.values()):
        raise EngineError("Code: 48. DB::Exception: The embedded ClickHouse takes no external tables. "
                          "(NOT_IMPLEMENTED)")  # fmt: skip
    return {name: str(value) for name, value in form.items()}


def _is_setting(name: str) -> bool:
    return name not in _TRANSPORT and not name.startswith("param_")


def _inflate(body: bytes, encoding: str) -> bytes:
    """Undo the one encoding that aiohttp does not undo itself (it knows zstd, gzip, deflate and br)."""
    try:
        return bytes(lz4.frame.decompress(body)) if encoding == "lz4" else body
    except RuntimeError as error:
        raise EngineError(f"Code: 354. DB::Exception: Bad {encoding} body: {error}. (CANNOT_DECOMPRESS)") from error


def _response(request: web.Request, answer: Answer) -> web.Response:
    headers = {
        "X-ClickHouse-Summary": json.dumps(dict(answer.summary)),
        "X-ClickHouse-Query-Id": request.query.get("query_id") or str(uuid.uuid4()),
        "X-ClickHouse-Server-Display-Name": "footfall-embedded",
        "X-ClickHouse-Timezone": "UTC",
        "Content-Type": _content_type(answer.format),
    }
    if answer.format:
        headers["X-ClickHouse-Format"] = answer.format
    body = answer.body
    if request.query.get("enable_http_compression") == "1" and len(body) >= _COMPRESS_FROM_BYTES:
        encoding, body = _deflate(body, request.headers.get("Accept-Encoding", ""))
        if encoding:
            headers["Content-Encoding"] = encoding
    return web.Response(body=body, headers=headers)


def _deflate(body: bytes, accepted: str) -> tuple[str, bytes]:
    offers = {offer.split(";")[0].strip() for offer in accepted.split(",")}
    if "lz4" in offers:
        return "lz4", bytes(lz4.frame.compress(body))
    if "zstd" in offers:
        return "zstd", zstd.compress(body, level=1)
    if "gzip" in offers:
        return "gzip", gzip.compress(body, compresslevel=1)
    if "deflate" in offers:
        return "deflate", zlib.compress(body, level=1)
    return "", body


def _content_type(answer_format: str) -> str:
    if answer_format.startswith("JSON"):
        return "application/json; charset=UTF-8"
    if answer_format.startswith("CSV"):
        return "text/csv; charset=UTF-8"
    if answer_format in {"", "TSV"} or answer_format.startswith(("TabSeparated", "Pretty")):
        return "text/tab-separated-values; charset=UTF-8"
    return "application/octet-stream"


def _error_response(error: EngineError, version: str) -> web.Response:
    status = _STATUS_BY_CODE.get(error.code, 500)
    text = f"{error} (version {version})\n"
    return web.Response(status=status, text=text, headers={"X-ClickHouse-Exception-Code": str(error.code)})


def serve(address: tuple[str, int], path: Path, login: Login | None = None) -> None:
    """Serve the tables of a folder until SIGTERM."""
    host, port = address
    app = build_app(Engine(path), login)
    web.run_app(app, host=host, port=port, print=None, access_log=None, shutdown_timeout=5.0)


def main() -> None:
    """`python -m streams.embedded.clickhouse_http --port 8123 --path DIR`: serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", type=Path, required=True)
    arguments = parser.parse_args()
    serve((HOST, arguments.port), arguments.path)


if __name__ == "__main__":
    main()
