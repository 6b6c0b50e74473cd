"""The page of /docs: Swagger UI from a package, so that it needs no network."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

SWAGGER = Path(str(files("fastapi_swagger") / "resources"))
# Swagger UI writes styles into its elements.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<form id="ask">
<label>API key <input id="key" type="password" autocomplete="off" size="90"></label>
<button>Show</button> <span id="said" role="status"></span>
</form>
<div id="ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/page.js"></script>
</body>
</html>
"""
# The document needs a key like all else; it is kept in this page alone.
SCRIPT = """\
document.getElementById("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = document.getElementById("key").value.trim();
  const said = document.getElementById("said");
  const carry = (request) => {
    request.headers["Authorization"] = `Bearer ${key}`;
    return request;
  };
  const answer = await fetch("/openapi.json", carry({ headers: {} }));
  const found = await answer.json();
  said.textContent = answer.ok ? "" : found.detail;
  if (answer.ok) {
    SwaggerUIBundle({ spec: found, dom_id: "#ui", requestInterceptor: carry });
  }
});
"""


def routes() -> APIRouter:
    """The page and what it loads."""
    router = APIRouter(include_in_schema=False)
    guarded = {"Content-Security-Policy": POLICY}

    @router.get("/docs")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers=guarded)

    @router.get("/docs/page.js")
    async def script() -> HTMLResponse:
        return HTMLResponse(SCRIPT, media_type="text/javascript")

    @router.get("/docs/swagger-ui-bundle.js")
    async def bundle() -> FileResponse:
        return FileResponse(SWAGGER / "swagger-ui-bundle.js", media_type="text/javascript")

    @router.get("/docs/swagger-ui.css")
    async def style() -> FileResponse:
        return FileResponse(SWAGGER / "swagger-ui.css", media_type="text/css")

    return router
