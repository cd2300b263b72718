"""The OpenAPI 3.1 document, made from the same table as the application. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from harmony_fleet.operator.api_route import ApiRoute

_ALWAYS: Final = (400, 401, 500, 503)
_MEANINGS: Final = {
    200: "Done.",
    201: "Made.",
    202: "Ordered: what follows is seen on the devices.",
    400: "The request is not well formed.",
    401: "The token is missing or wrong.",
    404: "There is no such thing.",
    409: "It cannot be done now, or would change what may not change.",
    413: "The body is too large.",
    500: "A defect of the control plane; its log says more.",
    503: "Not now: trying again may help.",
}
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class ErrorWords:
    kind: str
    """Stable, for programs."""
    message: str
    """One sentence for people, with what to do next."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    error: ErrorWords


def document(routes: Sequence[ApiRoute], prefix: str, version: str) -> dict[str, Any]:
    kinds = dict.fromkeys(kind for route in routes for kind in _kinds(route))
    kinds[ErrorBody] = None
    schemas = list(kinds)
    references, components = msgspec.json.schema_components(
        schemas, ref_template="#/components/schemas/{name}"
    )
    by_kind = dict(zip(schemas, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(prefix + route.path, {})[route.method.lower()] = _operation(route, by_kind)
    token = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "harmony-fleet", "version": version},
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": token}},
    }


def _kinds(route: ApiRoute) -> list[type]:
    body = [] if route.body is None or route.body is bytes else [route.body]
    return [*route.answers.values(), *body]


def _operation(route: ApiRoute, by_kind: dict[type, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _responses(route, by_kind),
    }
    if route.body is bytes:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": content}
    elif route.body is not None:
        content = {_JSON: {"schema": by_kind[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(route: ApiRoute, by_kind: dict[type, dict[str, Any]]) -> dict[str, Any]:
    kinds = dict.fromkeys((*_ALWAYS, *route.refusals), ErrorBody) | dict(route.answers)
    return {
        str(status): {
            "description": _MEANINGS[status],
            "content": {_JSON: {"schema": by_kind[kind]}},
        }
        for status, kind in sorted(kinds.items())
    }


def _path_parameters(route: ApiRoute) -> list[dict[str, Any]]:
    text = {"type": "string"}
    names = re.findall(r"{(\w+)}", route.path)
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in names]


def _query_parameters(route: ApiRoute) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    _, components = msgspec.json.schema_components([route.query])
    properties = components[route.query.__name__]["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
