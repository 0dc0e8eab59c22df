// A foreign HPKE, @hpke/core, as a filter: one JSON request on standard input, one JSON answer on standard output, bytes in hexadecimal.
//   {"op":"open","kem_id","aead_id","info","secret_key","enc","messages":[{"aad","ct"}],"exporter_context","L"}  ->  {"messages":[pt],"exported"}
//   {"op":"seal","kem_id","aead_id","info","public_key","messages":[{"aad","pt"}],"exporter_context","L"}  ->  {"enc","messages":[ct],"exported"}
import { Aes128Gcm, Aes256Gcm, CipherSuite, HkdfSha256 } from '@hpke/core';
import { Chacha20Poly1305 } from '@hpke/chacha20poly1305';
import { DhkemX25519HkdfSha256 } from '@hpke/dhkem-x25519';
import { XWing } from '@hpke/hybridkem-x-wing';

const kems = { 0x0020: DhkemX25519HkdfSha256, 0x647a: XWing };
const aeads = { 1: Aes128Gcm, 2: Aes256Gcm, 3: Chacha20Poly1305 };
const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex')).buffer;
const hex = (value) => Buffer.from(value).toString('hex');

let input = '';
for await (const part of process.stdin) input += part;
const task = JSON.parse(input);
const suite = new CipherSuite({ kem: new kems[task.kem_id](), kdf: new HkdfSha256(), aead: new aeads[task.aead_id]() });

let context;
const messages = [];
if (task.op === 'open') {
  const recipientKey = await suite.kem.deserializePrivateKey(unhex(task.secret_key));
  context = await suite.createRecipientContext({ recipientKey, enc: unhex(task.enc), info: unhex(task.info) });
  for (const { aad, ct } of task.messages) messages.push(hex(await context.open(unhex(ct), unhex(aad))));
} else {
  const recipientPublicKey = await suite.kem.deserializePublicKey(unhex(task.public_key));
  context = await suite.createSenderContext({ recipientPublicKey, info: unhex(task.info) });
  for (const { aad, pt } of task.messages) messages.push(hex(await context.seal(unhex(pt), unhex(aad))));
}
const exported = hex(await context.export(unhex(task.exporter_context), task.L));
console.log(JSON.stringify({ enc: context.enc && hex(context.enc), messages, exported }));
