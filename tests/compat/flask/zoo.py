"""The API zoo on Flask, served by gunicorn with threads: `gunicorn --threads 16 zoo:app`."""

import gzip
import hashlib
import pathlib
import queue
import time

from flask import Flask, Response, jsonify, redirect, request, send_from_directory
from flask_sock import Sock

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
STATIC = pathlib.Path(__file__).resolve().parent.parent / "page"

app = Flask(__name__, static_folder=None)
socket = Sock(app)
items, channels = {}, {}


@app.route("/echo", defaults={"tail": ""}, methods=METHODS, provide_automatic_options=False)
@app.route("/echo/", defaults={"tail": ""}, methods=METHODS, provide_automatic_options=False)
@app.route("/echo/<path:tail>", methods=METHODS, provide_automatic_options=False)
def echo(tail):
    body = request.get_data()
    return jsonify(
        method=request.method,
        target=request.environ["RAW_URI"],
        headers=sorted([name.lower(), value] for name, value in request.headers),
        length=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
    )


@app.route("/automatic", methods=["GET", "POST"])
def automatic():
    return "the framework answers HEAD and OPTIONS\n"


@app.route("/items", methods=["GET", "POST", "DELETE"])
def collection():
    if request.method == "DELETE":
        items.clear()
        return "", 204
    if request.method == "POST":
        number = len(items) + 1
        items[number] = {"id": number} | request.get_json()
        return jsonify(items[number]), 201, {"Location": f"/items/{number}"}
    return jsonify(list(items.values()))


@app.route("/items/<int:number>", methods=["GET", "PUT", "PATCH", "DELETE"])
def item(number):
    if number not in items:
        return jsonify(error="no such item"), 404
    if request.method == "DELETE":
        del items[number]
        return "", 204
    if request.method == "PUT":
        items[number] = {"id": number} | request.get_json()
    if request.method == "PATCH":
        items[number] |= request.get_json()
    return jsonify(items[number])


@app.post("/upload")
def upload():
    files = [
        {"field": field, "name": file.filename, "type": file.content_type, "sha256": hashlib.sha256(file.read()).hexdigest()}
        for field, file in request.files.items(multi=True)
    ]
    return jsonify(files=files, fields=sorted(request.form.items(multi=True)))


@app.route("/page/<path:name>")
def page(name):
    return send_from_directory(STATIC, name, conditional=True)


@app.get("/bytes/<int:length>")
def some_bytes(length):
    return Response((b"0123456789abcdef" * (length // 16 + 1))[:length], mimetype="application/octet-stream")


@app.get("/stream")
def stream():
    return Response((f"piece {number}\n" for number in range(50)), mimetype="text/plain")


@app.get("/events/<channel>")
def events(channel):
    messages = channels.setdefault(channel, queue.Queue())

    def told():
        yield "data: ready\n\n"
        while (message := messages.get(timeout=30)) != "end":
            yield f"data: {message}\n\n"
        del channels[channel]

    return Response(told(), mimetype="text/event-stream", headers={"Cache-Control": "no-cache"})


@app.post("/events/<channel>")
def tell(channel):
    channels.setdefault(channel, queue.Queue()).put(request.get_data(as_text=True))
    return "", 202


@app.route("/redirect/<int:status>")
def redirected(status):
    return redirect("/echo/after-redirect?status=" + str(status), code=status)


@app.get("/redirect/absolute")
def redirected_absolutely():
    return redirect(request.host_url + "echo/after-redirect")


@app.get("/cookies/set")
def set_cookies():
    response = Response("baked\n", mimetype="text/plain")
    response.set_cookie("plain", "one")
    response.set_cookie("strict", "two", path="/", httponly=True, samesite="Strict")
    response.set_cookie("quoted", 'a b;c,"d"')
    return response


@app.get("/cookies/seen")
def seen_cookies():
    return jsonify(dict(request.cookies))


@app.route("/status/<int:status>")
def status(status):
    return Response(None if status in (204, 304) else f'{{"status": {status}}}\n', status=status, mimetype="application/json")


@app.get("/gzip")
def gzipped():
    body = b"the same line again\n" * 500
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return Response(body, mimetype="text/plain", headers={"Vary": "Accept-Encoding"})
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return Response(gzip.compress(body, mtime=0), mimetype="text/plain", headers=headers)


@app.get("/slow")
def slow():
    time.sleep(0.3)
    return "late\n"


@app.get("/long-headers")
def long_headers():
    headers = [("X-Long", "v" * 4000)] + [(f"X-Many-{number}", str(number)) for number in range(40)]
    return Response("long\n", headers=headers, mimetype="text/plain")


@app.get("/crash")
def crash():
    raise RuntimeError("on purpose")


@socket.route("/ws")
def web_socket(ws):
    while (message := ws.receive()) != "bye":
        ws.send(message)
    ws.close(1000, "done")
