// A server of the Encrypted HTTP Body Protocol before an engine: node ehbp.mjs ENGINE. The package "ehbp" is its client; what a server
// does is made here of the same package's key derivation and sealing, on node:http, as a middleware has it.
// POST /seal seals a plaintext to this server, beside the clock: {"key","body"} in hexadecimal and base64.
import http from 'node:http';
import { randomBytes } from 'node:crypto';
import { CipherSuite } from 'hpke';
import { KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM } from '@panva/hpke-noble';
import {
  Identity, PROTOCOL, HPKE_REQUEST_INFO, EXPORT_LABEL, EXPORT_LENGTH, RESPONSE_NONCE_LENGTH, deriveResponseKeys, encryptChunk, hexToBytes, bytesToHex,
} from 'ehbp';

const engine = new URL(process.argv[2]);
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_AES_256_GCM);
const identity = await Identity.generate();
const info = new TextEncoder().encode(HPKE_REQUEST_INFO);
const label = new TextEncoder().encode(EXPORT_LABEL);

async function read(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

function ask(path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: engine.hostname, port: engine.port, path, method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': body.length } },
      resolve);
    request.on('error', reject);
    request.end(body);
  });
}

async function serve(request, response) {
  const body = await read(request);
  const key = hexToBytes(request.headers[PROTOCOL.ENCAPSULATED_KEY_HEADER.toLowerCase()]);
  const recipient = await suite.SetupRecipient(identity.getPrivateKey(), key, { info });
  const plaintext = await recipient.Open(new Uint8Array(body.subarray(4, 4 + body.readUInt32BE(0))));
  const nonce = new Uint8Array(randomBytes(RESPONSE_NONCE_LENGTH));
  const keys = await deriveResponseKeys(await recipient.Export(label, EXPORT_LENGTH), key, nonce);
  const answer = await ask(request.url, Buffer.from(plaintext));
  response.writeHead(answer.statusCode, { 'content-type': answer.headers['content-type'], [PROTOCOL.RESPONSE_NONCE_HEADER]: bytesToHex(nonce) });
  let sequence = 0;
  const send = async (bytes) => {
    const sealed = await encryptChunk(keys, sequence++, bytes);
    const frame = Buffer.alloc(4 + sealed.length);
    frame.writeUInt32BE(sealed.length, 0);
    frame.set(sealed, 4);
    response.write(frame);
  };
  if (answer.headers['content-type'] === 'text/event-stream') {
    // Each event is a frame of its own, as an application's own writes are.
    let rest = Buffer.alloc(0);
    for await (const part of answer) {
      rest = Buffer.concat([rest, part]);
      for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.subarray(end + 2)) await send(new Uint8Array(rest.subarray(0, end + 2)));
    }
  } else {
    await send(new Uint8Array(await read(answer)));
  }
  response.end();
}

async function seal(request, response) {
  const { encapsulatedSecret, ctx } = await suite.SetupSender(identity.getPublicKey(), { info });
  const sealed = await ctx.Seal(new Uint8Array(await read(request)));
  const body = Buffer.alloc(4 + sealed.length);
  body.writeUInt32BE(sealed.length, 0);
  body.set(sealed, 4);
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ key: bytesToHex(encapsulatedSecret), body: body.toString('base64') }));
}

const server = http.createServer((request, response) =>
  (request.url === '/seal' ? seal : serve)(request, response).catch(() => response.destroy()));
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })));
process.stdin.on('end', () => process.exit(0)).resume();
