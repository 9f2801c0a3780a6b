"""Gateways that ask somebody else about each request: nginx with `auth_request`, Envoy with `ext_authz`, each in front of
Keygate's door and of others that decide the same. And the two that ask nobody, to see what asking costs.

Both processes of a pair share the gateway's core."""

import dataclasses

from . import setting
from . import workload as work
from .gateways import Envoy, Gateway, Haproxy, Keygate, Nginx
from .process import free_port


class Pair(Gateway):
    """A front that asks and a door that is asked."""

    can = frozenset()

    def __init__(self, name, front, door):
        self.name, self.front, self.door = name, front, door

    def members(self):
        return [self.front, self.door]

    def parts(self, place):
        port = free_port()
        door = dataclasses.replace(place, folder=setting.make_folder(place.folder, "door"), port=port, spare_port=free_port())
        return [(self.door, door), (self.front, dataclasses.replace(place, door=port))]


class KeygateDoor(Keygate):
    """Keygate asked; its own listener, which it must have, is idle."""

    def __init__(self, door):
        self.door = door

    def listeners(self, place):
        return f"listen: {{address: '127.0.0.1:{free_port()}'}}\ndoors: {{{self.door % place.port}}}"


FORWARD_AUTH_DOOR = "forward_auth: {address: '127.0.0.1:%s', headers: x-original}"
EXT_AUTHZ_DOOR = "ext_authz: {address: '127.0.0.1:%s'}"
EXT_AUTHZ_HTTP_DOOR = "ext_authz: {address: '127.0.0.1:%s', protocol: http}"


class NginxDoor(Nginx):
    """The maps of nginx, asked. What it is asked about stands in X-Original-…, or is the question itself. A front that is nginx
    knows no refusals but 401 and 403, so the others come to it as Keygate tells them: 403, and the real one in a header."""

    def __init__(self, method, target, refusal, removal=""):
        self.method, self.target, self.refusal, self.removal = method, target, refusal, removal

    SERVER = """include maps.conf;
  map {target} $project {{ default ""; "~^/api/v1/projects/(?<name>[^/?]+)($|\\?)" $name; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      if ($key_id = "") {{ return 401; }}
      if ($project = "") {{ {not_found} }}
      if ($project_allowed = 0) {{ {not_found} }}
      if ($scope_allowed = "") {{ {not_allowed} }}
      if ($scope_allowed = 0) {{ return 403; }}
      {identity}
      {removal}
      return 200;
    }}
  }}"""

    def configure(self, place, workload):
        super().configure(place, workload)
        (place.folder / "maps.conf").write_text("".join(self.maps(workload, self.method)))

    def server(self, place):
        return self.SERVER.format(
            target=self.target, port=place.port, not_found=self.refusal % 404, not_allowed=self.refusal % 405, removal=self.removal,
            identity=" ".join(f"add_header {name} {value};" for name, value in self.IDENTITY.items()),
        )


NGINX_ASKED_BY_NGINX = NginxDoor("$http_x_original_method", "$http_x_original_uri", "add_header X-Keygate-Status %s always; return 403;")
NGINX_ASKED_BY_ENVOY = NginxDoor("$request_method", "$request_uri", "return %s;", "add_header X-Envoy-Auth-Headers-To-Remove authorization;")


class HaproxyDoor(Haproxy):
    """HAProxy's digest and map file, asked by nginx."""

    CONFIG = """
global
  nbthread 1
  maxconn {connections}
  ulimit-n {files}
defaults
  mode http
  timeout client 1h
  timeout http-keep-alive 1h
frontend gate
  bind 127.0.0.1:{port} backlog 4096{bind}
  acl mapped req.hdr(X-Original-URI) -m reg ^/api/v1/projects/[^/?]+($|\\?)
  acl reads req.hdr(X-Original-Method) -m str GET
  acl writes req.hdr(X-Original-Method) -m str PATCH POST
  acl administers req.hdr(X-Original-Method) -m str DELETE
  http-request set-var(txn.record) http_auth_bearer,sha2(256),hex,map({folder}/keys.map)
  http-request return status 401 unless {{ var(txn.record) -m found }}
  http-request return status 403 hdr X-Keygate-Status 404 unless mapped
  http-request set-var(txn.key) var(txn.record),field(1,|)
  http-request set-var(txn.scope) var(txn.record),field(3,|)
  http-request set-var(txn.projects) var(txn.record),field(5,|)
  http-request set-var(txn.project) req.hdr(X-Original-URI),field(5,/),field(1,?)
  http-request return status 403 hdr X-Keygate-Status 404 unless {{ var(txn.projects) -m str * }} or {{ var(txn.key),concat(/,txn.project) -m str -f {folder}/projects.list }}
  http-request return status 403 hdr X-Keygate-Status 405 unless reads or writes or administers
  http-request return status 403 if writes !{{ var(txn.scope) -m str write admin }}
  http-request return status 403 if administers !{{ var(txn.scope) -m str admin }}
  http-request return status 200 hdr X-Auth-Key-Id %[var(txn.key)] hdr X-Auth-User %[var(txn.record),field(2,|)] hdr X-Auth-Org default hdr X-Auth-Scopes %[var(txn.record),field(4,|)] hdr X-Auth-Projects %[var(txn.projects)] hdr X-Auth-Project %[var(txn.project)]
"""


class NginxFront(Nginx):
    """nginx that asks, with no more than this job needs."""

    SERVER = """{upstream}
  {door}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      auth_request /_door;
      error_page 403 = @refused;
      auth_request_set $status_told $upstream_http_x_keygate_status;
      {told}
      {forward}
      {identity}
    }}
    location = /_door {{
      internal;
      proxy_pass http://door/;
      proxy_http_version 1.1;
      proxy_pass_request_body off;
      proxy_set_header Host door;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-Method $request_method;
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Original-Host $http_host;
      proxy_set_header X-Original-Proto $scheme;
      proxy_set_header X-Original-Content-Length $http_content_length;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
    location @refused {{
      if ($status_told = 404) {{ return 404; }}
      if ($status_told = 405) {{ return 405; }}
      return 403;
    }}
  }}"""

    def configure(self, place, workload):
        (place.folder / "tmp").mkdir(exist_ok=True)
        self.write(place, self.server(place))

    def server(self, place):
        variables = {name: f"$told_{name.lower().replace('-', '_')}" for name in self.IDENTITY}
        return self.SERVER.format(
            upstream=self.UPSTREAM.format(name="api", port=place.upstream), door=self.UPSTREAM.format(name="door", port=place.door), port=place.port,
            told=" ".join(f"auth_request_set {variable} $upstream_http_{name.lower().replace('-', '_')};" for name, variable in variables.items()),
            forward=self.FORWARD, identity=" ".join(f"proxy_set_header {name} {variable};" for name, variable in variables.items()),
        )


class ShippedNginxFront(NginxFront):
    """nginx with the file that users are given, deploy/nginx/keygate.conf: but for addresses, and connections that are kept as the
    others' are."""

    def server(self, place):
        text = (setting.ROOT / "deploy/nginx/keygate.conf").read_text()
        changes = {
            "upstream api     { server 127.0.0.1:9000; keepalive 32; }": self.UPSTREAM.format(name="api", port=place.upstream),
            "upstream keygate { server 127.0.0.1:8090; keepalive 32; }": self.UPSTREAM.format(name="keygate", port=place.door),
            "listen 127.0.0.1:8080;": f"listen 127.0.0.1:{place.port} backlog=4096;",
        }
        for shipped, raced in changes.items():
            if text.count(shipped) != 1:
                raise RuntimeError(f"deploy/nginx/keygate.conf has no single {shipped!r}")
            text = text.replace(shipped, raced)
        return text


class BareNginx(Nginx):
    """Forwards everything, asks nobody: what nginx takes without the job."""

    name = "bare-nginx"
    checks_keys = False
    can = frozenset()

    SERVER = """{upstream}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      {forward}
    }}
  }}"""

    def configure(self, place, workload):
        (place.folder / "tmp").mkdir(exist_ok=True)
        self.write(place, self.SERVER.format(upstream=self.UPSTREAM.format(name="api", port=place.upstream), port=place.port, forward=self.FORWARD))


class EnvoyFront(Envoy):
    """Envoy that asks over gRPC, as deploy/envoy/envoy-grpc.yaml has it, or over HTTP, as envoy-http.yaml has it."""

    FILTER = """- name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              failure_mode_allow: false
              status_on_error: {code: ServiceUnavailable}
              """
    GRPC = """grpc_service: {envoy_grpc: {cluster_name: door}, timeout: 2s}
              encode_raw_headers: true"""
    HTTP = """allowed_headers: {patterns: [{safe_regex: {regex: ".*"}}]}
              http_service:
                server_uri: {uri: "http://127.0.0.1", cluster: door, timeout: 2s}
                authorization_response: {allowed_upstream_headers: {patterns: [{prefix: x-auth-}]}}"""
    DOOR = """- name: door
    type: STATIC
    connect_timeout: 2s
    %s
    load_assignment:
      cluster_name: door
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]"""

    def __init__(self, asks):
        self.asks = asks

    def configure(self, place, workload):
        self.write(place, self.FILTER + self.asks, self.DOOR % (self.HTTP2 if self.asks is self.GRPC else "", place.door))


class BareEnvoy(Envoy):
    """Forwards everything, asks nobody."""

    name = "bare-envoy"
    checks_keys = False
    can = frozenset()

    def configure(self, place, workload):
        self.write(place, "")


FORWARD_AUTH = {
    pair.name: pair
    for pair in (
        Pair("nginx+keygate", ShippedNginxFront(), KeygateDoor(FORWARD_AUTH_DOOR)),
        Pair("lean-nginx+keygate", NginxFront(), KeygateDoor(FORWARD_AUTH_DOOR)),
        Pair("lean-nginx+nginx", NginxFront(), NGINX_ASKED_BY_NGINX),
        Pair("lean-nginx+haproxy", NginxFront(), HaproxyDoor()),
        BareNginx(),
    )
}
EXT_AUTHZ = {
    pair.name: pair
    for pair in (
        Pair("envoy+keygate", EnvoyFront(EnvoyFront.GRPC), KeygateDoor(EXT_AUTHZ_DOOR)),
        Pair("envoy+keygate-http", EnvoyFront(EnvoyFront.HTTP), KeygateDoor(EXT_AUTHZ_HTTP_DOOR)),
        Pair("envoy+nginx-http", EnvoyFront(EnvoyFront.HTTP), NGINX_ASKED_BY_ENVOY),
        BareEnvoy(),
    )
}
ALL = FORWARD_AUTH | EXT_AUTHZ
