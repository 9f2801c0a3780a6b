"""The contestants: each writes its own configuration for the same job and says how it is started.

Every one runs one worker, logs no requests, keeps connections alive on both sides, and is configured the way that was
measured to be its fastest. A configuration is a plain file in its folder; `race --keep FOLDER` leaves them to be read."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import workload as work


@dataclass(frozen=True)
class Place:
    """Where a gateway listens, forwards to and keeps its files."""

    folder: Path
    port: int
    spare_port: int
    upstream: int
    files: int  # how many descriptors a process may have
    certificate: Path = None  # PEM with certificate and key; None means cleartext
    http2: bool = False
    traffic: str = "http"  # or "grpc", "websocket": what the upstream speaks
    door: int = None  # where the one that is asked listens, for those that ask


class Gateway:
    name = None
    checks_keys = True
    can = frozenset({"tls", "grpc", "websocket"})  # of what a scenario may want
    environment = {}

    def members(self):
        """All that takes part under this name."""
        return [self]

    def parts(self, place):
        """(gateway, its place) of each member, who is asked before who asks: clients talk to the last."""
        return [(self, place)]

    def find(self, given=None):
        """The program's path, or None."""
        return given or shutil.which(self.program)

    def version(self, program):
        done = subprocess.run([program, *self.version_argument], capture_output=True, text=True)
        told = (done.stdout + done.stderr).replace(program, "")
        found = re.search(r"\d+\.\d+(\.\d+)?", told)
        return found.group(0) if found else "unknown"


class Keygate(Gateway):
    name = program = "keygate"
    version_argument = ["--version"]
    environment = {"KEYGATE_WORKERS": "1"}

    def find(self, given=None):
        built = Path(__file__).resolve().parents[2] / "target/dist/keygate"
        return given or (str(built) if built.exists() else None)

    def configure(self, place, workload):
        upstream = {"http": "", "grpc": ", http: 2", "websocket": f", max_connections: {place.files // 2}"}[place.traffic]
        (place.folder / "keygate.yaml").write_text(
            "version: 1\n"
            "workers: 1\n"
            f"{self.listeners(place)}\n"
            f"health: {{address: '127.0.0.1:{place.spare_port}'}}\n"
            "admin: null\n"
            f"upstreams: {{api: {{url: 'http://127.0.0.1:{place.upstream}'{upstream}}}}}\n"
            "keys: {file: keys.yaml}\n"
            "routes:\n"
            f"  - path: {work.ROUTE}\n"
            "    project: path:project\n"
            f"    methods: {{{', '.join(f'{method}: {scope}' for method, scope in work.METHOD_SCOPE.items())}}}\n"
            + "    websocket: true\n" * (place.traffic == "websocket")
        )
        (place.folder / "keys.yaml").write_text(work.key_file(workload))
        os.chmod(place.folder / "keys.yaml", 0o600)

    def listeners(self, place):
        tls = f", tls: {{certificate: {place.certificate}, private_key: {place.certificate}}}" if place.certificate else ""
        return f"listen: {{address: '127.0.0.1:{place.port}', limits: {{connections: {place.files // 2}}}{tls}}}"

    def command(self, program, place):
        return [program, "serve", "--config", str(place.folder / "keygate.yaml")]


class Nginx(Gateway):
    """Keys in clear in a `map` (nginx has no digest to look up by, and its maps ignore case); one more map for each thing that
    depends on the key, found by key id; scope and project decided by a look-up of a composed string."""

    name = program = "nginx"
    version_argument = ["-v"]

    CONFIG = """
daemon off; worker_processes 1; user root; pid nginx.pid; error_log stderr error; worker_rlimit_nofile {files}; pcre_jit on;
events {{ worker_connections {connections}; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on; client_max_body_size 16m;
  client_body_temp_path tmp; proxy_temp_path tmp;
  map_hash_max_size 262144; map_hash_bucket_size 256; variables_hash_max_size 2048;
  {content}
}}
"""
    UPSTREAM = "upstream {name} {{ server 127.0.0.1:{port}; keepalive 128; keepalive_requests 1000000000; keepalive_timeout 1h; }}"
    SERVER = """include maps.conf;
  {upstream}
  server {{
    listen 127.0.0.1:{port} backlog=4096{listen};
    {tls}
    location / {{ if ($key_id = "") {{ return 401; }} return 404; }}
    location ~ ^/api/v1/projects/(?<project>[^/]+)$ {{
      if ($key_id = "") {{ return 401; }}
      if ($project_allowed = 0) {{ return 404; }}
      if ($scope_allowed = "") {{ return 405; }}
      if ($scope_allowed = 0) {{ return 403; }}
      {forward}
      {identity}
    }}
  }}"""
    FORWARD = """proxy_pass http://api;
      proxy_http_version 1.1;
      proxy_request_buffering off; proxy_max_temp_file_size 0; proxy_buffer_size 8k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header Authorization "";"""
    # Only upgrades are sent in that scenario, so no map has to tell them apart.
    FORWARD_WEBSOCKET = FORWARD.replace(
        'proxy_set_header Connection "";', "proxy_set_header Connection upgrade; proxy_set_header Upgrade $http_upgrade; proxy_read_timeout 1h;"
    )
    FORWARD_GRPC = """grpc_pass grpc://api;
      grpc_set_header Host $http_host;
      grpc_set_header X-Forwarded-For $remote_addr;
      grpc_set_header Authorization "";"""
    IDENTITY = {
        "X-Auth-Key-Id": "$key_id", "X-Auth-User": "$key_user", "X-Auth-Org": work.ORGANIZATION, "X-Auth-Scopes": "$key_closure",
        "X-Auth-Projects": "$key_projects", "X-Auth-Project": "$project",
    }

    def configure(self, place, workload):
        (place.folder / "tmp").mkdir(exist_ok=True)
        self.write(place, self.server(place))
        (place.folder / "maps.conf").write_text("".join(self.maps(workload)))

    def write(self, place, content):
        (place.folder / "nginx.conf").write_text(self.CONFIG.format(files=place.files, connections=place.files - 100, content=content))

    def server(self, place):
        listen = " ssl" * bool(place.certificate) + " http2" * place.http2
        tls = (
            f"ssl_certificate {place.certificate}; ssl_certificate_key {place.certificate}; ssl_protocols TLSv1.2 TLSv1.3; "
            "ssl_session_cache shared:race:10m;"
        )
        prefix = "grpc" if place.traffic == "grpc" else "proxy"
        return self.SERVER.format(
            upstream=self.UPSTREAM.format(name="api", port=place.upstream), port=place.port, listen=listen, tls=tls if place.certificate else "",
            forward={"http": self.FORWARD, "grpc": self.FORWARD_GRPC, "websocket": self.FORWARD_WEBSOCKET}[place.traffic],
            identity=" ".join(f"{prefix}_set_header {name} {value};" for name, value in self.IDENTITY.items()),
        )

    @staticmethod
    def maps(workload, method="$request_method"):
        """Lines of configuration; `method` is the variable that holds it."""

        def table(source, name, default, rows):
            yield f'map "{source}" ${name} {{\n  default "{default}";\n'
            yield from (f'  "{match}" "{value}";\n' for match, value in rows)
            yield "}\n"

        keys = workload.keys
        yield from table("$http_authorization", "key_id", "", ((f"Bearer {key.secret}", key.id) for key in keys))
        yield from table("$key_id", "key_user", "", ((key.id, key.user) for key in keys))
        yield from table("$key_id", "key_scope", "", ((key.id, key.scope) for key in keys))
        yield from table("$key_id", "key_projects", "", ((key.id, key.projects_value) for key in keys))
        yield from table("$key_scope", "key_closure", "", ((scope, " ".join(work.SCOPES[: number + 1])) for number, scope in enumerate(work.SCOPES)))
        yield from table("$key_projects", "all_projects", "0", [("*", "1")])
        pairs = ((f"{key.id}/{project}", "1") for key in keys for project in key.projects)
        yield from table("$key_id/$project", "project_allowed", "$all_projects", pairs)
        granted = (
            (f"{method}/{scope}", int(work.SCOPES.index(scope) >= work.SCOPES.index(needed)))
            for method, needed in work.METHOD_SCOPE.items() for scope in work.SCOPES
        )
        yield from table(f"{method}/$key_scope", "scope_allowed", "", granted)

    def command(self, program, place):
        return [program, "-p", str(place.folder), "-c", "nginx.conf"]


class Haproxy(Gateway):
    """SHA-256 of the key looked up in a map file; its fields are cut from the one record found."""

    name = program = "haproxy"
    version_argument = ["-v"]

    CONFIG = """
global
  nbthread 1
  maxconn {connections}
  ulimit-n {files}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  timeout tunnel 1h
  http-reuse always
  option forwardfor
frontend gate
  bind 127.0.0.1:{port} backlog 4096{bind}
  acl mapped path_reg ^/api/v1/projects/[^/]+$
  acl reads method GET
  acl writes method PATCH POST
  acl administers method DELETE
  http-request set-var(txn.record) http_auth_bearer,sha2(256),hex,map({folder}/keys.map)
  http-request return status 401 unless {{ var(txn.record) -m found }}
  http-request return status 404 unless mapped
  http-request set-var(txn.key) var(txn.record),field(1,|)
  http-request set-var(txn.scope) var(txn.record),field(3,|)
  http-request set-var(txn.projects) var(txn.record),field(5,|)
  http-request set-var(txn.project) path,field(5,/)
  http-request return status 404 unless {{ var(txn.projects) -m str * }} or {{ var(txn.key),concat(/,txn.project) -m str -f {folder}/projects.list }}
  http-request return status 405 hdr Allow "GET, POST, PATCH, DELETE" unless reads or writes or administers
  http-request return status 403 if writes !{{ var(txn.scope) -m str write admin }}
  http-request return status 403 if administers !{{ var(txn.scope) -m str admin }}
  http-request del-header Authorization
  http-request set-header X-Auth-Key-Id %[var(txn.key)]
  http-request set-header X-Auth-User %[var(txn.record),field(2,|)]
  http-request set-header X-Auth-Org default
  http-request set-header X-Auth-Scopes %[var(txn.record),field(4,|)]
  http-request set-header X-Auth-Projects %[var(txn.projects)]
  http-request set-header X-Auth-Project %[var(txn.project)]
  default_backend api
backend api
  server api 127.0.0.1:{upstream} pool-max-conn 1000 pool-purge-delay 1h{protocol}
"""

    def configure(self, place, workload):
        protocols = "h2,http/1.1" if place.http2 else "http/1.1"
        bind = f" ssl crt {place.certificate} alpn {protocols}" if place.certificate else " proto h2" * place.http2
        (place.folder / "haproxy.cfg").write_text(
            self.CONFIG.format(
                folder=place.folder, port=place.port, upstream=place.upstream, bind=bind, protocol=" proto h2" * (place.traffic == "grpc"),
                files=place.files, connections=place.files // 2 - 150,
            )
        )
        records = (
            f"{key.digest.upper()} {'|'.join([key.id, key.user, key.scope, ' '.join(key.closure), key.projects_value])}\n" for key in workload.keys
        )
        (place.folder / "keys.map").write_text("".join(records))
        (place.folder / "projects.list").write_text("".join(f"{key.id}/{project}\n" for key in workload.keys for project in key.projects))

    def command(self, program, place):
        return [program, "-db", "-f", str(place.folder / "haproxy.cfg")]


class Relay(Haproxy):
    """The floor: bytes passed on and back over one connection each, no HTTP, no keys."""

    name = "relay"
    checks_keys = False
    can = frozenset({"grpc", "websocket"})

    CONFIG = """
global
  nbthread 1
  maxconn {connections}
  ulimit-n {files}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen relay
  bind 127.0.0.1:{port} backlog 4096
  server api 127.0.0.1:{upstream}
"""

    def configure(self, place, workload):
        (place.folder / "haproxy.cfg").write_text(
            self.CONFIG.format(port=place.port, upstream=place.upstream, files=place.files, connections=place.files // 2 - 150)
        )


class Envoy(Gateway):
    """Keys in clear in one LuaJIT table, which also decides, since no built-in filter of Envoy's can decide a scope and a
    project from what a key is found to be. As fast as api_key_auth followed by Lua, in less memory."""

    name = program = "envoy"
    version_argument = ["--version"]
    lua_only = True

    def find(self, given=None):
        """The binary itself where the PyPI package is installed; its console script is a Python process in front of it."""
        package = importlib.util.find_spec("envoy")
        binary = Path(package.origin).parent / "_bin/envoy" if package and package.origin else None
        return given or (str(binary) if binary and binary.exists() else shutil.which("envoy"))

    CONFIG = """
static_resources:
  listeners:
  - name: gate
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    tcp_backlog_size: 4096
    enable_reuse_port: false
    filter_chains:
    - {tls}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: gate
          codec_type: AUTO
          generate_request_id: false
          use_remote_address: true
          common_http_protocol_options: {{idle_timeout: 3600s}}
          {upgrades}
          route_config:
            virtual_hosts:
            - name: api
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: api, timeout: 0s}}}}]
          http_filters:
          {filters}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
  - name: api
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{thresholds: [{{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}}]}}
    {protocol}
    load_assignment:
      cluster_name: api
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]
  {clusters}
"""
    # Of a cluster; without it, HTTP/1.1.
    HTTP2 = """typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}"""
    LUA_FILTER = """- name: envoy.filters.http.lua
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code: {{filename: {folder}/gate.lua}}"""
    API_KEY_AUTH = """- name: envoy.filters.http.api_key_auth
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
              key_sources: [{{header: Authorization}}]
              forwarding: {{header: X-Auth-Key-Id, hide_credentials: true}}
              credentials:
{credentials}          """
    TLS = """transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [{protocols}]
            tls_certificates: [{{certificate_chain: {{filename: {pem}}}, private_key: {{filename: {pem}}}}}]"""
    LUA = """
local keys = {}
for line in io.lines("%(folder)s/keys.txt") do
  local name, id, user, scope, closure, projects = line:match("^(.-)|(.-)|(.-)|(.-)|(.-)|(.*)$")
  local key = {id = id, user = user, scopes = closure, projects_value = projects, all = projects == "*", projects = {}, methods = {}}
  for project in projects:gmatch("[^,]+") do key.projects[project] = true end
  for needed in closure:gmatch("%%S+") do
    if needed == "read" then key.methods.GET = true elseif needed == "write" then key.methods.PATCH, key.methods.POST = true, true else key.methods.DELETE = true end
  end
  keys[name] = key
end
local mapped = {GET = true, POST = true, PATCH = true, DELETE = true}

function envoy_on_request(handle)
  local headers = handle:headers()
  local key = keys[headers:get("%(source)s") or ""]
  if not key then return handle:respond({[":status"] = "401"}, "") end
  local project = headers:get(":path"):match("^/api/v1/projects/([^/?]+)%%f[?%%z]")
  if not project or not (key.all or key.projects[project]) then return handle:respond({[":status"] = "404"}, "") end
  local method = headers:get(":method")
  if not key.methods[method] then return handle:respond({[":status"] = mapped[method] and "403" or "405"}, "") end
  %(own)s
  headers:replace("x-auth-user", key.user)
  headers:replace("x-auth-org", "default")
  headers:replace("x-auth-scopes", key.scopes)
  headers:replace("x-auth-projects", key.projects_value)
  headers:replace("x-auth-project", project)
end
"""

    def configure(self, place, workload):
        credentials = "".join(f"              - {{key: {key.secret}, client: {key.id}}}\n" for key in workload.keys)
        api_key_auth = "" if self.lua_only else self.API_KEY_AUTH.format(credentials=credentials)
        self.write(place, api_key_auth + self.LUA_FILTER.format(folder=place.folder))
        own = 'headers:remove("authorization")\n  headers:replace("x-auth-key-id", key.id)' if self.lua_only else ""
        source = "authorization" if self.lua_only else "x-auth-key-id"
        (place.folder / "gate.lua").write_text(self.LUA % {"folder": place.folder, "source": source, "own": own})
        names = ((f"Bearer {key.secret}" if self.lua_only else key.id, key) for key in workload.keys)
        lines = ("|".join([name, key.id, key.user, key.scope, " ".join(key.closure), key.projects_value]) + "\n" for name, key in names)
        (place.folder / "keys.txt").write_text("".join(lines))

    def write(self, place, filters, clusters=""):
        """The configuration; `filters` come before the router, `clusters` beside that of the upstream."""
        protocols = "h2, http/1.1" if place.http2 else "http/1.1"
        (place.folder / "envoy.yaml").write_text(
            self.CONFIG.format(
                port=place.port, upstream=place.upstream, filters=filters, clusters=clusters,
                tls=self.TLS.format(protocols=protocols, pem=place.certificate) if place.certificate else "name: gate",
                upgrades="upgrade_configs: [{upgrade_type: websocket}]" if place.traffic == "websocket" else "",
                protocol=self.HTTP2 if place.traffic == "grpc" else "",
            )
        )

    def command(self, program, place):
        return [program, "--config-path", str(place.folder / "envoy.yaml"), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


class EnvoyApiKeyAuth(Envoy):
    """Envoy's own key filter first, then Lua for the rest. Not raced unless asked for."""

    name = "envoy-api-key-auth"
    lua_only = False


ALL = {gateway.name: gateway for gateway in (Keygate(), Nginx(), Haproxy(), Envoy(), EnvoyApiKeyAuth(), Relay())}
