import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;

/** Sends the requests that standard input tells, one a line, and prints what it saw, one a line. */
public final class Client {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.valueOf(arguments[0])).followRedirects(HttpClient.Redirect.NEVER).build();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            System.out.println(answer(client, line.split("\t", -1)));
        }
    }

    private static String answer(HttpClient client, String[] told) throws InterruptedException {
        try {
            HttpResponse<byte[]> response = client.send(request(told), BodyHandlers.ofByteArray());
            StringBuilder headers = new StringBuilder();
            response.headers().map().forEach((name, values) -> values.forEach(value ->
                headers.append(name).append(": ").append(value).append('\n')));
            return line(String.valueOf(response.statusCode()), headers.toString().getBytes(StandardCharsets.UTF_8), response.body());
        } catch (java.io.IOException | IllegalArgumentException error) {
            return line("0", new byte[0], error.toString().getBytes(StandardCharsets.UTF_8));
        }
    }

    private static HttpRequest request(String[] told) {
        byte[] body = decode(told[4]);
        BodyPublisher publisher = text(told[3]).equals("chunked")
            ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))
            : body.length == 0 ? BodyPublishers.noBody() : BodyPublishers.ofByteArray(body);
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(text(told[1])))
            .timeout(Duration.ofSeconds(60)).method(text(told[0]), publisher);
        for (String header : text(told[2]).split("\n")) {
            String[] parts = header.split(": ", 2);
            if (parts[0].equals("Expect")) {
                request.expectContinue(true);
            } else if (parts.length == 2) {
                request.header(parts[0], parts[1]);
            }
        }
        return request.build();
    }

    private static String line(String status, byte[] headers, byte[] body) {
        return encode(status.getBytes(StandardCharsets.US_ASCII)) + "\t" + encode(headers) + "\t" + encode(body);
    }

    private static String text(String encoded) {
        return new String(decode(encoded), StandardCharsets.UTF_8);
    }

    private static byte[] decode(String encoded) {
        return Base64.getDecoder().decode(encoded);
    }

    private static String encode(byte[] data) {
        return Base64.getEncoder().encodeToString(data);
    }
}
