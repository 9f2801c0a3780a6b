"""The API zoo on Django, served by uvicorn: `uvicorn zoo:application`. WebSocket is plain ASGI beside Django."""

import asyncio
import hashlib
import json
import pathlib

import django
from django.conf import settings

STATIC = pathlib.Path(__file__).resolve().parent.parent / "page"

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=20_000_000,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.http.ConditionalGetMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="a test has no secrets",
    USE_TZ=True,
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.middleware.gzip import GZipMiddleware  # noqa: E402
from django.urls import path, re_path  # noqa: E402
from django.views.decorators.http import require_http_methods  # noqa: E402
from django.views.static import serve  # noqa: E402

items, channels = {}, {}


def echo(request):
    query = request.scope["query_string"].decode("ascii")
    return JsonResponse(
        {
            "method": request.method,
            "target": request.scope["raw_path"].decode("latin-1") + ("?" + query if query else ""),
            "headers": sorted([name.decode("latin-1"), value.decode("latin-1")] for name, value in request.scope["headers"]),
            "length": len(request.body),
            "sha256": hashlib.sha256(request.body).hexdigest(),
        }
    )


@require_http_methods(["GET", "HEAD", "POST"])
def automatic(request):
    return HttpResponse("the framework answers 405\n", content_type="text/plain")


@require_http_methods(["GET", "POST", "DELETE"])
def collection(request):
    if request.method == "DELETE":
        items.clear()
        return HttpResponse(status=204)
    if request.method == "POST":
        number = len(items) + 1
        items[number] = {"id": number} | json.loads(request.body)
        return JsonResponse(items[number], status=201, headers={"Location": f"/items/{number}"})
    return JsonResponse(list(items.values()), safe=False)


@require_http_methods(["GET", "PUT", "PATCH", "DELETE"])
def item(request, number):
    if number not in items:
        return JsonResponse({"error": "no such item"}, status=404)
    if request.method == "DELETE":
        del items[number]
        return HttpResponse(status=204)
    if request.method == "PUT":
        items[number] = {"id": number} | json.loads(request.body)
    if request.method == "PATCH":
        items[number] |= json.loads(request.body)
    return JsonResponse(items[number])


def upload(request):
    files = [
        {"field": field, "name": file.name, "type": file.content_type, "sha256": hashlib.sha256(file.read()).hexdigest()}
        for field, many in request.FILES.lists()
        for file in many
    ]
    return JsonResponse({"files": files, "fields": sorted(request.POST.lists())})


def page(request, name):
    return serve(request, name, document_root=STATIC)


def some_bytes(request, length):
    return HttpResponse((b"0123456789abcdef" * (length // 16 + 1))[:length], content_type="application/octet-stream")


async def stream(request):
    async def pieces():
        for number in range(50):
            yield f"piece {number}\n"

    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def events(request, channel):
    messages = channels.setdefault(channel, asyncio.Queue())
    if request.method == "POST":
        messages.put_nowait(request.body.decode())
        return HttpResponse(status=202)

    async def told():
        yield "data: ready\n\n"
        while (message := await messages.get()) != "end":
            yield f"data: {message}\n\n"
        del channels[channel]

    return StreamingHttpResponse(told(), content_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def redirected(request, status):
    return to("/echo/after-redirect?status=" + str(status), status)


def redirected_absolutely(request):
    return to(request.build_absolute_uri("/echo/after-redirect"), 302)


def to(location, status):
    return HttpResponse(status=status, headers={"Location": location})


def set_cookies(request):
    response = HttpResponse("baked\n", content_type="text/plain")
    response.set_cookie("plain", "one")
    response.set_cookie("strict", "two", httponly=True, samesite="Strict")
    response.set_cookie("quoted", 'a b;c,"d"')
    return response


def seen_cookies(request):
    return JsonResponse(request.COOKIES)


def status(request, status):
    body = b"" if status in (204, 304) else b'{"status": %d}\n' % status
    return HttpResponse(body, status=status, content_type="application/json")


def gzipped(request):
    response = HttpResponse("the same line again\n" * 500, content_type="text/plain")
    middleware = GZipMiddleware(lambda request: response)
    middleware.max_random_bytes = 0
    return middleware.process_response(request, response)


async def slow(request):
    await asyncio.sleep(0.3)
    return HttpResponse("late\n", content_type="text/plain")


def long_headers(request):
    headers = {"X-Long": "v" * 4000} | {f"X-Many-{number}": str(number) for number in range(40)}
    return HttpResponse("long\n", content_type="text/plain", headers=headers)


def crash(request):
    raise RuntimeError("on purpose")


urlpatterns = [
    re_path("^echo(/.*)?$", lambda request, *_: echo(request)),
    path("automatic", automatic),
    path("items", collection),
    path("items/<int:number>", item),
    path("upload", upload),
    path("page/<path:name>", page),
    path("bytes/<int:length>", some_bytes),
    path("stream", stream),
    path("events/<channel>", events),
    path("redirect/absolute", redirected_absolutely),
    path("redirect/<int:status>", redirected),
    path("cookies/set", set_cookies),
    path("cookies/seen", seen_cookies),
    path("status/<int:status>", status),
    path("gzip", gzipped),
    path("slow", slow),
    path("long-headers", long_headers),
    path("crash", crash),
]

http = get_asgi_application()


async def application(scope, receive, send):
    if scope["type"] == "websocket" and scope["path"] == "/ws":
        await web_socket(receive, send)
    else:
        await http(scope, receive, send)


async def web_socket(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "bye":
            await send({"type": "websocket.close", "code": 1000, "reason": "done"})
            return
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})
