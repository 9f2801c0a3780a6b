import jakarta.websocket.CloseReason;
import jakarta.websocket.OnMessage;
import jakarta.websocket.Session;
import jakarta.websocket.server.ServerEndpoint;
import java.io.IOException;

/** WebSocket: says again what it hears, until it hears bye. */
@ServerEndpoint("/ws")
public final class Sockets {
    @OnMessage(maxMessageSize = 1 << 20)
    public String text(String message, Session session) throws IOException {
        if (message.equals("bye")) {
            session.close(new CloseReason(CloseReason.CloseCodes.NORMAL_CLOSURE, "done"));
            return null;
        }
        return message;
    }

    @OnMessage(maxMessageSize = 1 << 20)
    public byte[] bytes(byte[] message) {
        return message;
    }
}
