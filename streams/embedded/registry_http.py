"""The Confluent Schema Registry's REST interface, as far as its clients use it, over the embedded store."""

from __future__ import annotations

import argparse
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from streams.embedded.login import Login, demand
from streams.embedded.ports import HOST
from streams.embedded.registry_store import RegistryError, RegistryStore, Version

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
STORE = web.AppKey("STORE", RegistryStore)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

routes = web.RouteTableDef()


def build_app(store: RegistryStore, login: Login | None = None) -> web.Application:
    """The application over an open store."""
    checks = [] if login is None else [demand(login, frozenset({"/"}), _refuse)]
    app = web.Application(middlewares=[_answer_errors, *checks], client_max_size=4 * 1024 * 1024)
    app[STORE] = store
    app.add_routes(routes)
    return app


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RegistryError as error:
        return _json({"error_code": error.code, "message": str(error)}, error.status)
    except web.HTTPException as error:
        return _json({"error_code": error.status, "message": error.reason}, error.status)


def _refuse() -> web.Response:
    return _json({"error_code": 401, "message": "Unauthorized"}, 401)


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), status=status, headers={"Content-Type": CONTENT_TYPE})


def _flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "false").lower() == "true"


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.read())
    except ValueError as error:
        raise RegistryError(400, 400, f"The body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RegistryError(422, 42201, "The body is not a JSON object")
    return document


async def _schema_text(request: web.Request) -> str:
    document = await _body(request)
    if document.get("schemaType", "AVRO") != "AVRO" or document.get("references"):
        raise RegistryError(422, 42201, "The embedded registry keeps Avro schemas without references only")
    text = document.get("schema")
    if not isinstance(text, str):
        raise RegistryError(422, 42201, "Empty schema")
    return text


def _described(store: RegistryStore, subject: str, version: Version) -> dict[str, Any]:
    text = store.text(version.id)
    return {"subject": subject, "version": version.version, "id": version.id, "schemaType": "AVRO", "schema": text}


@routes.get("/")
async def _root(_: web.Request) -> web.Response:
    return _json({})


@routes.get("/mode")
@routes.get("/mode/{subject}")
async def _mode(_: web.Request) -> web.Response:
    return _json({"mode": "READWRITE"})


@routes.get("/schemas/types")
async def _types(_: web.Request) -> web.Response:
    return _json(["AVRO"])


@routes.get("/schemas/ids/{id:\\d+}")
async def _schema(request: web.Request) -> web.Response:
    return _json({"schema": request.app[STORE].text(int(request.match_info["id"]))})


@routes.get("/schemas/ids/{id:\\d+}/schema")
async def _bare_schema(request: web.Request) -> web.Response:
    return _json(json.loads(request.app[STORE].text(int(request.match_info["id"]))))


@routes.get("/schemas/ids/{id:\\d+}/versions")
async def _schema_versions(request: web.Request) -> web.Response:
    uses = request.app[STORE].uses(int(request.match_info["id"]))
    return _json([{"subject": subject, "version": version} for subject, version in uses])


@routes.get("/schemas/ids/{id:\\d+}/subjects")
async def _schema_subjects(request: web.Request) -> web.Response:
    return _json(sorted({subject for subject, _ in request.app[STORE].uses(int(request.match_info["id"]))}))


@routes.get("/subjects")
async def _subjects(request: web.Request) -> web.Response:
    prefix = request.query.get("subjectPrefix", "")
    names = request.app[STORE].subjects(deleted=_flag(request, "deleted"))
    return _json([name for name in names if name.startswith(prefix)])


@routes.post("/subjects/{subject}")
async def _lookup(request: web.Request) -> web.Response:
    store, subject = request.app[STORE], request.match_info["subject"]
    return _json(_described(store, subject, store.lookup(subject, await _schema_text(request))))


@routes.delete("/subjects/{subject}")
async def _delete_subject(request: web.Request) -> web.Response:
    store, subject = request.app[STORE], request.match_info["subject"]
    return _json(store.delete(subject, permanent=_flag(request, "permanent")))


@routes.get("/subjects/{subject}/versions")
async def _versions(request: web.Request) -> web.Response:
    found = request.app[STORE].versions(request.match_info["subject"], deleted=_flag(request, "deleted"))
    return _json([version.version for version in found])


@routes.post("/subjects/{subject}/versions")
async def _register(request: web.Request) -> web.Response:
    store, subject = request.app[STORE], request.match_info["subject"]
    return _json(_described(store, subject, store.register(subject, await _schema_text(request))))


@routes.get("/subjects/{subject}/versions/{version}")
async def _version(request: web.Request) -> web.Response:
    store, subject = request.app[STORE], request.match_info["subject"]
    found = store.version(subject, request.match_info["version"], deleted=_flag(request, "deleted"))
    return _json(_described(store, subject, found))


@routes.get("/subjects/{subject}/versions/{version}/schema")
async def _version_schema(request: web.Request) -> web.Response:
    store, subject = request.app[STORE], request.match_info["subject"]
    return _json(json.loads(store.text(store.version(subject, request.match_info["version"]).id)))


@routes.delete("/subjects/{subject}/versions/{version}")
async def _delete_version(request: web.Request) -> web.Response:
    store, subject = request.app[STORE], request.match_info["subject"]
    deleted = store.delete(subject, request.match_info["version"], permanent=_flag(request, "permanent"))
    return _json(deleted[0])


@routes.post("/compatibility/subjects/{subject}/versions")
@routes.post("/compatibility/subjects/{subject}/versions/{version}")
async def _compatibility(request: web.Request) -> web.Response:
    store, subject = request.app[STORE], request.match_info["subject"]
    reasons = store.check(subject, await _schema_text(request), request.match_info.get("version"))
    verdict: dict[str, Any] = {"is_compatible": not reasons}
    return _json(verdict | {"messages": reasons} if _flag(request, "verbose") else verdict)


@routes.get("/config")
async def _config(request: web.Request) -> web.Response:
    return _json({"compatibilityLevel": request.app[STORE].level()})


@routes.get("/config/{subject}")
async def _subject_config(request: web.Request) -> web.Response:
    own_only = not _flag(request, "defaultToGlobal")
    return _json(
        {"compatibilityLevel": request.app[STORE].level(request.match_info["subject"], or_global=not own_only)}
    )


@routes.put("/config")
@routes.put("/config/{subject}")
async def _set_config(request: web.Request) -> web.Response:
    level = str((await _body(request)).get("compatibility"))
    request.app[STORE].set_level(level, request.match_info.get("subject"))
    return _json({"compatibility": level})


@routes.delete("/config/{subject}")
async def _unset_config(request: web.Request) -> web.Response:
    return _json({"compatibilityLevel": request.app[STORE].unset_level(request.match_info["subject"])})


def serve(address: tuple[str, int], file: Path, login: Login | None = None) -> None:
    """Serve the schemas of a file until SIGTERM."""
    host, port = address
    app = build_app(RegistryStore(file), login)
    web.run_app(app, host=host, port=port, print=None, access_log=None, shutdown_timeout=2.0)


def main() -> None:
    """`python -m streams.embedded.registry_http --port 8081 --file FILE`: serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    arguments = parser.parse_args()
    serve((HOST, arguments.port), arguments.file)


if __name__ == "__main__":
    main()
