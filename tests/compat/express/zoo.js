// The API zoo on Express, with ws for WebSocket; prints its port once it listens.
'use strict'
const crypto = require('node:crypto')
const http = require('node:http')
const path = require('node:path')
const compression = require('compression')
const express = require('express')
const multer = require('multer')
const { WebSocketServer } = require('ws')

const app = express()
const bytes = express.raw({ type: () => true, limit: '20mb', inflate: false })
const json = express.json()
const sha256 = data => crypto.createHash('sha256').update(data).digest('hex')
const items = new Map()
const channels = new Map()

app.all(['/echo', '/echo/{*tail}'], bytes, (req, res) => {
  const body = Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0)
  const headers = []
  for (let i = 0; i < req.rawHeaders.length; i += 2) headers.push([req.rawHeaders[i].toLowerCase(), req.rawHeaders[i + 1]])
  headers.sort((a, b) => (a.join(':') < b.join(':') ? -1 : 1))
  res.json({ method: req.method, target: req.originalUrl, headers, length: body.length, sha256: sha256(body) })
})

app.get('/automatic', (req, res) => res.type('text').send('the framework answers HEAD and OPTIONS\n'))
app.post('/automatic', (req, res) => res.type('text').send('the framework answers HEAD and OPTIONS\n'))

app.get('/items', (req, res) => res.json([...items.values()]))
app.delete('/items', (req, res) => { items.clear(); res.status(204).end() })
app.post('/items', json, (req, res) => {
  const id = items.size + 1
  items.set(id, { id, ...req.body })
  res.status(201).location(`/items/${id}`).json(items.get(id))
})
app.all('/items/:id', json, (req, res) => {
  const id = Number(req.params.id)
  if (!items.has(id)) return res.status(404).json({ error: 'no such item' })
  switch (req.method) {
    case 'DELETE': items.delete(id); return res.status(204).end()
    case 'PUT': items.set(id, { id, ...req.body }); break
    case 'PATCH': items.set(id, { ...items.get(id), ...req.body }); break
  }
  res.json(items.get(id))
})

app.post('/upload', multer().any(), (req, res) => {
  const files = req.files.map(file => ({ field: file.fieldname, name: file.originalname, type: file.mimetype, sha256: sha256(file.buffer) }))
  res.json({ files, fields: Object.entries(req.body) })
})

app.use('/page', express.static(path.join(__dirname, '..', 'page')))

app.get('/bytes/:length', (req, res) => {
  const length = Number(req.params.length)
  res.type('application/octet-stream').send(Buffer.alloc(length, '0123456789abcdef'))
})

app.get('/stream', (req, res) => {
  res.type('text')
  for (let number = 0; number < 50; number++) res.write(`piece ${number}\n`)
  res.end()
})

// A channel is the list of what was told before anyone listened, or the one who listens.
app.get('/events/:channel', (req, res) => {
  const { channel } = req.params
  const tell = message => {
    if (message === 'end') { channels.delete(channel); return res.end() }
    res.write(`data: ${message}\n\n`)
  }
  res.type('text/event-stream').set('Cache-Control', 'no-cache').write('data: ready\n\n')
  const early = channels.get(channel) ?? []
  channels.set(channel, { push: tell })
  early.forEach(tell)
})
app.post('/events/:channel', bytes, (req, res) => {
  const { channel } = req.params
  if (!channels.has(channel)) channels.set(channel, [])
  channels.get(channel).push(req.body.toString())
  res.status(202).end()
})

app.get('/redirect/absolute', (req, res) => res.redirect(`http://${req.get('host')}/echo/after-redirect`))
app.get('/redirect/:status', (req, res) => res.redirect(Number(req.params.status), `/echo/after-redirect?status=${req.params.status}`))

app.get('/cookies/set', (req, res) => {
  res.cookie('plain', 'one').cookie('strict', 'two', { httpOnly: true, sameSite: 'strict' }).cookie('quoted', 'a b;c,"d"')
  res.type('text').send('baked\n')
})
app.get('/cookies/seen', (req, res) => res.json({ cookie: req.get('cookie') ?? null }))

app.all('/status/:status', (req, res) => {
  const status = Number(req.params.status)
  res.status(status)
  if (status === 204 || status === 304) res.end()
  else res.json({ status })
})

app.get('/gzip', compression({ threshold: 0 }), (req, res) => res.type('text').send('the same line again\n'.repeat(500)))
app.get('/slow', (req, res) => setTimeout(() => res.type('text').send('late\n'), 300))
app.get('/long-headers', (req, res) => {
  res.set('X-Long', 'v'.repeat(4000))
  for (let number = 0; number < 40; number++) res.set(`X-Many-${number}`, String(number))
  res.type('text').send('long\n')
})
app.get('/crash', () => { throw new Error('on purpose') })

app.use((error, req, res, next) => {
  res.status(error.status ?? 500).type('text').send(`${error.message}\n`)
})

const server = http.createServer(app)
const sockets = new WebSocketServer({ server, path: '/ws' })
sockets.on('connection', socket => socket.on('message', (data, isBinary) => {
  if (String(data) === 'bye') socket.close(1000, 'done')
  else socket.send(data, { binary: isBinary })
}))
server.listen(0, '127.0.0.1', () => console.log(`listening on port ${server.address().port}`))
