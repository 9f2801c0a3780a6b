"""The network between a gateway and its database, as a TCP proxy that fails when it is told to."""

import asyncio
import socket
import struct
import threading

RESET = struct.pack("ii", 1, 0)


class Network:
    """Passes everything on until `hole`, `cut` or `refuse`; `heal` ends these. Runs on a thread of its own."""

    def __init__(self, server_port):
        self.server_port, self.is_hole, self.is_refused, self.links = server_port, False, False, set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self._do(asyncio.start_server(self._link, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def hole(self):
        """Connections stay and new ones are taken, and no byte passes. Those are dead for good."""
        self.is_hole = True

    def cut(self):
        """Every connection ends with a reset; new ones are taken."""
        self._do(self._cut())

    def refuse(self):
        """As `cut`, and new ones end at once too."""
        self.is_refused = True
        self.cut()

    def heal(self):
        self.is_hole = self.is_refused = False

    def stop(self):
        self.refuse()
        self._do(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def _do(self, task):
        return asyncio.run_coroutine_threadsafe(task, self.loop).result(10)

    async def _cut(self):
        for link in list(self.links):
            for writer in link:
                reset(writer)
        self.links.clear()

    async def _end(self):
        self.server.close()
        links = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _link(self, reader, writer):
        if self.is_refused:
            return reset(writer)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            return reset(writer)
        link = (writer, to_server)
        self.links.add(link)
        dead = asyncio.Event()
        if self.is_hole:
            dead.set()
        await asyncio.gather(self._pump(reader, to_server, dead), self._pump(from_server, writer, dead))
        for end in link:
            end.close()
        self.links.discard(link)

    async def _pump(self, reader, writer, dead):
        try:
            while True:
                piece = await reader.read(65536)
                if self.is_hole:
                    dead.set()
                if dead.is_set():
                    if not piece:
                        return
                    continue
                if not piece:
                    writer.close()
                    return
                writer.write(piece)
                await writer.drain()
        except OSError:
            reset(writer)


def reset(writer):
    connection = writer.get_extra_info("socket")
    if connection is not None:
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        except OSError:
            pass
    writer.transport.abort()
