// One end of a TLS connection under test; the words are those of the Go peer (go/main.go).
'use strict';
const fs = require('fs');
const tls = require('tls');
const readline = require('readline');

const config = JSON.parse(process.argv[3]);
const files = { ca: fs.readFileSync(config.CA), cert: fs.readFileSync(config.Cert), key: fs.readFileSync(config.Key) };
const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const name = (ip, port) => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok';

function serve() {
  let waiting = config.Listeners.length;
  for (const listener of config.Listeners) {
    const version = 'TLSv' + listener.Version;
    const server = tls.createServer({
      ...files,
      minVersion: version,
      maxVersion: version,
      requestCert: listener.Ask,
      rejectUnauthorized: false,
    });
    server.on('secureConnection', (socket) => {
      const account = {
        peer: name(socket.remoteAddress, socket.remotePort),
        local: name(socket.localAddress, socket.localPort),
        pid: process.pid,
        protocol: 'tls',
        version: socket.getProtocol().replace('TLSv', ''),
        cipher: socket.getCipher().standardName,
        client: socket.isSessionReused()
          ? 'resumed'
          : socket.getPeerX509Certificate()
            ? 'presented'
            : listener.Ask
              ? 'declined'
              : 'not_requested',
      };
      let head = '';
      socket.on('data', (part) => {
        head += part;
        if (head.includes('\r\n\r\n')) socket.end(ANSWER);
      });
      socket.on('error', (error) => (account.error = error.message));
      socket.on('close', () => say(account));
    });
    server.listen(listener.Port, '::', () => {
      if (--waiting === 0) say({ ready: true });
    });
  }
}

const sessions = new Map();

function dial(job) {
  return new Promise((resolve) => {
    const done = { id: job.ID, local: [] };
    const place = `${job.Cert} ${job.Host} ${job.Port}`;
    const socket = tls.connect({
      host: job.Host,
      port: job.Port,
      servername: 'localhost',
      ca: files.ca,
      ...(job.Cert ? { cert: files.cert, key: files.key } : {}),
      session: job.Resume ? sessions.get(place) : undefined,
    });
    let body = '';
    socket.on('connect', () => done.local.push(name(socket.localAddress, socket.localPort)));
    socket.on('session', (session) => sessions.set(place, session));
    socket.on('secureConnect', () => socket.write('GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'));
    socket.on('data', (part) => (body += part));
    socket.on('error', (error) => (done.error = error.message));
    socket.on('close', () => {
      done.body = body;
      say(done);
      resolve();
    });
  });
}

if (process.argv[2] === 'server') {
  serve();
} else {
  (async () => {
    for await (const line of readline.createInterface({ input: process.stdin })) await dial(JSON.parse(line));
  })();
}
