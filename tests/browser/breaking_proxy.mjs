// An HTTP proxy between a browser and the console that loses one answer when it is told to: the request arrives, and the
// connection breaks before a byte of what was answered comes back.
import { once } from "node:events";
import { createServer, request } from "node:http";

export class BreakingProxy {
  // The text of the answer that was lost.
  lost = "";
  #method = null;
  #told;
  #heard = new Promise((told) => { this.#told = told; });

  static async start() {
    const proxy = new BreakingProxy();
    proxy.server = createServer((incoming, outgoing) => proxy.#forward(incoming, outgoing)).listen(0, "127.0.0.1");
    await once(proxy.server, "listening");
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  // Loses the answer to the next request with this method.
  breakNext(method) {
    this.#method = method;
  }

  // Waits until an answer was lost.
  broken() {
    return this.#heard;
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }

  #forward(incoming, outgoing) {
    const isLost = incoming.method === this.#method;
    if (isLost) this.#method = null;
    const { "proxy-connection": _, ...sent } = incoming.headers;
    const headers = isLost ? { ...sent, "accept-encoding": "identity" } : sent;
    const onward = request(incoming.url, { method: incoming.method, headers }, (answer) => {
      if (isLost) return this.#lose(answer, incoming.socket);
      outgoing.writeHead(answer.statusCode, answer.headers);
      return answer.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  }

  async #lose(answer, socket) {
    for await (const piece of answer.setEncoding("latin1")) this.lost += piece;
    socket.destroy();
    this.#told();
  }
}
