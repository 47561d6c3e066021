"""What a router says beside its answers, as a Starlette app: health, metadata of the inference protocol, metrics."""

from typing import TYPE_CHECKING, Any

import msgspec

from workbench.problems import missing, one_line
from workbench.serving import headers, inference_metadata, metrics
from workbench.serving.messages import LARGEST_BODY, Refusal
from workbench.serving.refusals import SOON, answer, no_path

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request as HttpRequest
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError:
    raise missing("Serving", "starlette", "serve") from None

if TYPE_CHECKING:
    from workbench.serving.router import Answered, Router


def app(router: "Router") -> Starlette:
    """The app of a router; each request's scope has its `answered`."""

    async def ping(_: HttpRequest) -> Response:
        if not router.ready:
            raise Refusal(503, "Not every variant is ready.", "", SOON)
        return _json({"status": "ready"})

    async def parameters(_: HttpRequest) -> Response:
        return _json({"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": LARGEST_BODY >> 20})

    async def live(_: HttpRequest) -> Response:
        return _json({"live": True})

    async def server(_: HttpRequest) -> Response:
        return _json({"name": "dlwb", "version": "2", "extensions": []})

    async def model(request: HttpRequest) -> Response:
        variant = router.of_model(request.path_params["name"], request.path_params.get("version", ""))
        return _json(inference_metadata.model(variant.folder, [other.folder for other in router.table.variants.values()]))

    async def model_ready(request: HttpRequest) -> Response:
        variant = router.of_model(request.path_params["name"], request.path_params.get("version", ""))
        if not variant.healthy:
            raise Refusal(503, f"{variant.label} is not ready.", "", SOON)
        return _json({"name": variant.folder.model.name, "ready": True})

    async def counted(_: HttpRequest) -> Response:
        return Response(metrics.text(router), media_type=metrics.CONTENT_TYPE)

    async def refused(request: HttpRequest, error: Exception) -> Response:
        refusal = no_path(request.scope["path"])
        if isinstance(error, Refusal):
            refusal = error
        elif isinstance(error, HTTPException) and error.status_code == 405:
            allow = (error.headers or {}).get("Allow", "GET")
            text = f"{request.method[:20]} is not for {one_line(request.scope['path'], 80)}."
            refusal = Refusal(405, text, "", ((b"allow", allow.encode()),))
        elif not isinstance(error, HTTPException):
            refusal = Refusal(500, "Something failed here.")
        answered: Answered = request.scope["answered"]
        answered.code, answered.message = refusal.code, str(refusal)
        lines, body = answer(refusal, answered.id)
        response = Response(body, refusal.code)
        response.raw_headers = lines
        return response

    routes = [Route(path, ping) for path in ("/ping", "/v2/health/ready")]
    routes += [Route("/v2/health/live", live), Route("/v2", server), Route("/v2/", server)]
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        routes += [Route(path, model), Route(f"{path}/ready", model_ready)]
    routes += [Route("/execution-parameters", parameters), Route("/metrics", counted)]
    app = Starlette(routes=routes, exception_handlers=dict.fromkeys((Refusal, HTTPException, Exception), refused))
    app.router.redirect_slashes = False
    return app


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type=headers.JSON)
