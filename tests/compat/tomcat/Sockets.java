import jakarta.websocket.OnMessage;
import jakarta.websocket.server.ServerEndpoint;

/** WebSocket: says again what it hears. */
@ServerEndpoint("/ws")
public final class Sockets {
    @OnMessage(maxMessageSize = 1 << 20)
    public String text(String message) {
        return message;
    }

    @OnMessage(maxMessageSize = 1 << 20)
    public byte[] bytes(byte[] message) {
        return message;
    }
}
