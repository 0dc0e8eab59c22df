// Verifies containers, and vouchers of batches, with npm @auth0/cose, unmodified. Standard input: {key, containers}, hexadecimal; standard
// output: of each {contentType, kid, payload}, or null where it does not verify.
import { Sign1, decode, Headers } from '@auth0/cose';
import { Decoder } from 'cbor-x';
import { importJWK } from 'jose';
import { rootOf } from './cose.mjs';

let input = '';
for await (const part of process.stdin) input += part;
const { key, containers } = JSON.parse(input);
const hex = (value) => Buffer.from(value).toString('hex');
const publicKey = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key, 'hex').toString('base64url') }, 'EdDSA');

const decoder = new Decoder({ mapsAsObjects: false });

// An entry of a batch is signed by the root that it and its proof lead to: spec/vouchers.md section 3.
async function verifyEntry(voucher) {
  const [entry, sign1] = decoder.decode(voucher);
  const [size, index, hashes] = decoder.decode(sign1.unprotectedHeaders.get(396).get(-1)[0]);
  await sign1.verify(publicKey, { detachedPayload: rootOf(Buffer.from(entry), index, size, hashes) });
  return [sign1, entry];
}

async function verifyContainer(container) {
  const sign1 = await decode(container, Sign1);
  await sign1.verify(publicKey);
  return [sign1, sign1.payload];
}

const seen = [];
for (const container of containers.map((text) => Buffer.from(text, 'hex'))) {
  try {
    const [sign1, payload] = await (container[0] === 0x82 ? verifyEntry : verifyContainer)(container);
    const header = sign1.protectedHeaders;
    seen.push({ contentType: header.get(Headers.ContentType), kid: hex(header.get(Headers.KeyID)), payload: hex(payload) });
  } catch {
    seen.push(null);
  }
}
console.log(JSON.stringify(seen));
