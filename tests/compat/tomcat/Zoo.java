import jakarta.servlet.ServletException;
import jakarta.servlet.annotation.MultipartConfig;
import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.Part;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.zip.GZIPOutputStream;

/** The API zoo as a servlet in Tomcat; static files and a JSP stand beside it. */
@MultipartConfig
public final class Zoo extends HttpServlet {
    private final Map<Integer, String> items = Collections.synchronizedMap(new TreeMap<>());
    private final Map<String, BlockingQueue<String>> channels = new ConcurrentHashMap<>();

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response) throws ServletException, IOException {
        String rest = request.getPathInfo() == null ? "" : request.getPathInfo().substring(1);
        switch (request.getServletPath()) {
            case "/echo" -> echo(request, response);
            case "/automatic" -> super.service(request, response);
            case "/items" -> items(request, response, rest);
            case "/upload" -> upload(request, response);
            case "/bytes" -> bytes(response, Integer.parseInt(rest));
            case "/stream" -> stream(response);
            case "/events" -> events(request, response, rest);
            case "/redirect" -> redirect(request, response, rest);
            case "/cookies" -> cookies(request, response, rest);
            case "/status" -> status(response, Integer.parseInt(rest));
            case "/gzip" -> gzip(request, response);
            case "/slow" -> slow(response);
            case "/long-headers" -> longHeaders(response);
            case "/crash" -> throw new IllegalStateException("on purpose");
            default -> response.sendError(404);
        }
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        text(response, "the container answers HEAD and OPTIONS\n");
    }

    private static void echo(HttpServletRequest request, HttpServletResponse response) throws IOException {
        byte[] body = request.getInputStream().readAllBytes();
        List<String> headers = new ArrayList<>();
        for (String name : Collections.list(request.getHeaderNames())) {
            for (String value : Collections.list(request.getHeaders(name))) {
                headers.add("[" + quote(name.toLowerCase()) + ", " + quote(value) + "]");
            }
        }
        Collections.sort(headers);
        String query = request.getQueryString() == null ? "" : "?" + request.getQueryString();
        json(response, 200, "{\"method\": " + quote(request.getMethod()) + ", \"target\": " + quote(request.getRequestURI() + query)
            + ", \"headers\": " + headers + ", \"length\": " + body.length + ", \"sha256\": " + quote(sha256(body)) + "}\n");
    }

    private void items(HttpServletRequest request, HttpServletResponse response, String rest) throws IOException {
        String body = new String(request.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (rest.isEmpty()) {
            switch (request.getMethod()) {
                case "DELETE" -> {
                    items.clear();
                    response.setStatus(204);
                }
                case "POST" -> {
                    int id = items.size() + 1;
                    items.put(id, body);
                    response.setHeader("Location", "/items/" + id);
                    json(response, 201, item(id));
                }
                default -> json(response, 200, items.keySet().stream().map(this::item).toList().toString());
            }
            return;
        }
        int id = Integer.parseInt(rest);
        if (!items.containsKey(id)) {
            json(response, 404, "{\"error\": \"no such item\"}");
            return;
        }
        switch (request.getMethod()) {
            case "DELETE" -> {
                items.remove(id);
                response.setStatus(204);
            }
            case "PUT", "PATCH" -> {
                items.put(id, body);
                json(response, 200, item(id));
            }
            default -> json(response, 200, item(id));
        }
    }

    private String item(int id) {
        return "{\"id\": " + id + ", \"item\": " + items.get(id) + "}";
    }

    private static void upload(HttpServletRequest request, HttpServletResponse response) throws IOException, ServletException {
        List<String> parts = new ArrayList<>();
        for (Part part : request.getParts()) {
            parts.add("{\"field\": " + quote(part.getName()) + ", \"name\": " + quote(part.getSubmittedFileName())
                + ", \"type\": " + quote(part.getContentType()) + ", \"sha256\": " + quote(sha256(part.getInputStream().readAllBytes())) + "}");
        }
        json(response, 200, parts.toString());
    }

    private static void bytes(HttpServletResponse response, int length) throws IOException {
        response.setContentType("application/octet-stream");
        response.setContentLength(length);
        byte[] pattern = "0123456789abcdef".repeat(length / 16 + 1).getBytes(StandardCharsets.US_ASCII);
        response.getOutputStream().write(pattern, 0, length);
    }

    private static void stream(HttpServletResponse response) throws IOException {
        response.setContentType("text/plain");
        for (int number = 0; number < 50; number++) {
            response.getOutputStream().print("piece " + number + "\n");
            response.flushBuffer();
        }
    }

    private void events(HttpServletRequest request, HttpServletResponse response, String name) throws IOException {
        BlockingQueue<String> messages = channels.computeIfAbsent(name, any -> new LinkedBlockingQueue<>());
        if (request.getMethod().equals("POST")) {
            messages.add(new String(request.getInputStream().readAllBytes(), StandardCharsets.UTF_8));
            response.setStatus(202);
            return;
        }
        response.setContentType("text/event-stream");
        response.setHeader("Cache-Control", "no-cache");
        for (String message = "ready"; message != null && !message.equals("end"); message = next(messages)) {
            response.getOutputStream().print("data: " + message + "\n\n");
            response.flushBuffer();
        }
        channels.remove(name);
    }

    private static String next(BlockingQueue<String> messages) {
        try {
            return messages.poll(30, TimeUnit.SECONDS);
        } catch (InterruptedException stopped) {
            return null;
        }
    }

    private static void redirect(HttpServletRequest request, HttpServletResponse response, String rest) throws IOException {
        if (rest.equals("absolute")) {
            String url = request.getRequestURL().toString().replace("/redirect/absolute", "/echo/after-redirect");
            response.sendRedirect(url);
        } else {
            response.setStatus(Integer.parseInt(rest));
            response.setHeader("Location", "/echo/after-redirect?status=" + rest);
        }
    }

    private static void cookies(HttpServletRequest request, HttpServletResponse response, String rest) throws IOException {
        if (rest.equals("set")) {
            response.addCookie(new Cookie("plain", "one"));
            Cookie strict = new Cookie("strict", "two");
            strict.setPath("/");
            strict.setHttpOnly(true);
            response.addCookie(strict);
            response.addHeader("Set-Cookie", "quoted=\"a b\"; SameSite=Lax");
            text(response, "baked\n");
        } else {
            List<String> seen = new ArrayList<>();
            for (Cookie cookie : request.getCookies() == null ? new Cookie[0] : request.getCookies()) {
                seen.add(quote(cookie.getName() + "=" + cookie.getValue()));
            }
            json(response, 200, seen.toString());
        }
    }

    private static void status(HttpServletResponse response, int status) throws IOException {
        if (status == 204 || status == 304) {
            response.setStatus(status);
        } else {
            json(response, status, "{\"status\": " + status + "}\n");
        }
    }

    private static void gzip(HttpServletRequest request, HttpServletResponse response) throws IOException {
        byte[] body = "the same line again\n".repeat(500).getBytes(StandardCharsets.US_ASCII);
        String accepted = request.getHeader("Accept-Encoding");
        response.setContentType("text/plain");
        response.setHeader("Vary", "Accept-Encoding");
        if (accepted == null || !accepted.contains("gzip")) {
            response.getOutputStream().write(body);
            return;
        }
        response.setHeader("Content-Encoding", "gzip");
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (OutputStream packer = new GZIPOutputStream(packed)) {
            packer.write(body);
        }
        response.getOutputStream().write(packed.toByteArray());
    }

    private static void slow(HttpServletResponse response) throws IOException {
        try {
            Thread.sleep(300);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
        text(response, "late\n");
    }

    private static void longHeaders(HttpServletResponse response) throws IOException {
        response.setHeader("X-Long", "v".repeat(4000));
        for (int number = 0; number < 40; number++) {
            response.setHeader("X-Many-" + number, String.valueOf(number));
        }
        text(response, "long\n");
    }

    private static void text(HttpServletResponse response, String text) throws IOException {
        response.setContentType("text/plain");
        response.getOutputStream().print(text);
    }

    private static void json(HttpServletResponse response, int status, String json) throws IOException {
        response.setStatus(status);
        response.setContentType("application/json");
        response.getOutputStream().write(json.getBytes(StandardCharsets.UTF_8));
    }

    private static String quote(String text) {
        return text == null ? "null" : "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }

    private static String sha256(byte[] data) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(data));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
