"""Runs one server of the API zoo until standard input ends, and prints `listening http://127.0.0.1:PORT` once it may be asked.

    python serve.py flask|django|express|tomcat

Its own port, chosen by the system; its own temporary folder; nothing is left when it ends.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
TOMCAT = pathlib.Path("/usr/share/tomcat10")


def main():
    start = {"flask": flask, "django": django, "express": express, "tomcat": tomcat}[sys.argv[1]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="keygate-compat-") as folder:
        child, port = start(pathlib.Path(folder))
        try:
            print(f"listening http://127.0.0.1:{port}", flush=True)
            threading.Thread(target=lambda: (child.wait(), os.kill(os.getpid(), signal.SIGTERM)), daemon=True).start()
            sys.stdin.buffer.read()
        finally:
            stop(child)


def flask(folder):
    listener = listening_socket()
    command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", "--threads", "16", "--keep-alive", "60"]
    command += ["--no-control-socket", "--chdir", HERE / "flask", "--worker-tmp-dir", folder, "zoo:app"]
    return served_by(listener, command)


def django(folder):
    # Not by --fd: asyncio sets TCP_NODELAY only on sockets that it opened itself.
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--timeout-keep-alive", "60", "--no-access-log", "--no-proxy-headers"]
    child = spawn([*command, "--app-dir", HERE / "django", "zoo:application"], stderr=subprocess.PIPE)
    return child, port_told(child, child.stderr, rb"running on http://127.0.0.1:(\d+)")


def listening_socket():
    """Clients may connect at once: the server takes them up when it is there."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.set_inheritable(True)
    return listener


def served_by(listener, command):
    child = spawn(command, pass_fds=[listener.fileno()])
    port = listener.getsockname()[1]
    listener.close()
    return child, port


def express(folder):
    child = spawn(["node", HERE / "express" / "zoo.js"], stdout=subprocess.PIPE)
    return child, port_told(child, child.stdout, rb"listening on port (\d+)")


def tomcat(folder):
    classes = folder / "webapps/ROOT/WEB-INF/classes"
    for part in [classes, folder / "conf", folder / "temp", folder / "logs", folder / "work"]:
        part.mkdir(parents=True)
    shutil.copy(HERE / "tomcat/server.xml", folder / "conf")
    shutil.copy(TOMCAT / "etc/web.xml", folder / "conf")
    shutil.copy(HERE / "tomcat/web.xml", classes.parent)
    shutil.copy(HERE / "tomcat/greeting.jsp", folder / "webapps/ROOT")
    shutil.copytree(HERE / "page", folder / "webapps/ROOT/page")
    libraries = [TOMCAT / "lib/servlet-api.jar", TOMCAT / "lib/websocket-api.jar", TOMCAT / "lib/websocket-client-api.jar"]
    sources = [HERE / "tomcat/Zoo.java", HERE / "tomcat/Sockets.java"]
    subprocess.run(["javac", "-proc:none", "-cp", join(libraries), "-d", classes, *sources], check=True, stdin=subprocess.DEVNULL)
    child = spawn(
        ["java", "-XX:TieredStopAtLevel=1", "-Xmx256m", "-Dfile.encoding=UTF-8"]
        + [f"-Dcatalina.home={TOMCAT}", f"-Dcatalina.base={folder}", f"-Djava.io.tmpdir={folder / 'temp'}"]
        + ["-cp", join([TOMCAT / "bin/bootstrap.jar", TOMCAT / "bin/tomcat-juli.jar"])]
        + ["org.apache.catalina.startup.Bootstrap", "start"],
        stderr=subprocess.PIPE,
    )
    return child, port_told(child, child.stderr, rb'Starting ProtocolHandler \["http-nio-127.0.0.1-auto-1-(\d+)"\]')


def join(paths):
    return ":".join(str(path) for path in paths)


def spawn(command, **options):
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "NODE_ENV": "production"}
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True, **({"stdout": sys.stderr} | options)
    )
    return child


def port_told(child, stream, pattern):
    """Reads on after the port was told, so that the server never waits for a reader."""
    for line in stream:
        sys.stderr.buffer.write(line)
        if found := re.search(pattern, line):
            threading.Thread(target=shutil.copyfileobj, args=(stream, sys.stderr.buffer), daemon=True).start()
            return int(found[1])
    stop(child)
    sys.exit("the server ended before it listened")


def stop(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


if __name__ == "__main__":
    main()
