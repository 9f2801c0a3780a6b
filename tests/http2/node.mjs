// Node as an upstream behind TLS that takes HTTP/2 and HTTP/1.1, and curl as its clients: `node.mjs CERTIFICATE KEY`.
//
// It prints the port of its server, reads a line of JSON that tells where the gateway is, and ends with 0 if all went well.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const KEY = 'a-key-for-the-tests-of-http2-0123456789';
const LARGE = 40_000_000;
const [certificate, key] = process.argv.slice(2);
const seen = [];

const server = createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key), allowHTTP1: true });
server.on('request', (request, response) => {
  seen.push(`${request.httpVersion} ${request.headers['x-auth-key-id']}`);
  if (request.url === '/any/down') {
    response.setHeader('content-length', LARGE);
    response.end(Buffer.alloc(LARGE, 'd'));
  } else if (request.url === '/any/events') {
    response.setHeader('content-type', 'text/event-stream');
    let count = 0;
    const timer = setInterval(() => {
      response.write(`data: ${++count}\n\n`);
      if (count === 3) { clearInterval(timer); response.end(); }
    }, 700);
  } else {
    const hash = createHash('sha256');
    request.on('data', (piece) => hash.update(piece));
    request.on('end', () => response.end(hash.digest('hex')));
  }
});
server.on('upgrade', (request, socket) => {
  seen.push(`upgrade ${request.headers.upgrade}`);
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  socket.on('data', (data) => socket.write(data));
});

async function curl(place, ...more) {
  const fixed = ['--silent', '--show-error', '--noproxy', '*', '--max-time', '30', '-H', `Authorization: Bearer ${KEY}`];
  const options = { maxBuffer: 2 * LARGE, encoding: 'buffer' };
  const { stdout } = await promisify(execFile)('curl', [...fixed, ...more.slice(0, -1), `http://${place.data}${more.at(-1)}`], options);
  return stdout;
}

async function run(place) {
  const upload = Buffer.alloc(LARGE, 'upload');
  const file = `${place.folder}/upload`;
  (await import('node:fs')).writeFileSync(file, upload);
  const expected = createHash('sha256').update(upload).digest('hex');
  for (const version of ['--http1.1', '--http2-prior-knowledge']) {
    assert.equal((await curl(place, version, '-T', file, '/any/up')).toString(), expected);
    assert.equal((await curl(place, version, '-X', 'POST', '-H', 'Transfer-Encoding: chunked', '-H', 'Expect:', '--data-binary', `@${file}`, '/any/up')).toString(), expected);
    const down = await curl(place, version, '/any/down');
    assert.ok(down.length === LARGE && down.equals(Buffer.alloc(LARGE, 'd')));
    assert.equal((await curl(place, version, '-N', '/any/events')).toString(), 'data: 1\n\ndata: 2\n\ndata: 3\n\n');
  }
  assert.deepEqual([...new Set(seen)], ['2.0 one']);
  const handshake = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: x'];
  const fields = handshake.flatMap((line) => ['-H', line]);
  const upgraded = await curl(place, '--http1.1', ...fields, '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '1', '/ws/x').catch((error) => error.stdout);
  assert.equal(upgraded.toString(), '101');
  assert.equal(seen.at(-1), 'upgrade websocket');
}

server.listen(0, '127.0.0.1', () => {
  console.log(server.address().port);
  createInterface({ input: process.stdin }).once('line', async (line) => {
    await run(JSON.parse(line));
    process.exit(0);
  });
});
